"""Any HTTP receiver: a CloudEvent in structured mode. `url` is where it goes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from deploy.incidents.base import Post, encoded, iso, linked
from schemas.alerts import Receiver
from schemas.incident import Incident


class Webhook:
    """`id` is the same when the same news is sent again."""

    type = "webhook"
    repeats = False

    def write(self, incident: Incident, receiver: Receiver, link: str | None, now: int) -> Post:
        """See `Writer`."""
        news = (
            "resolved"
            if incident.ended is not None
            else "opened"
            if incident.updated == incident.started
            else "updated"
        )
        times = {"started": iso(incident.started), "updated": iso(incident.updated)}
        times |= {"ended": iso(incident.ended)} if incident.ended is not None else {}
        data: dict[str, Any] = asdict(incident) | {"ended": None} | times | {"link": linked(incident, link)}
        event = {
            "specversion": "1.0", "id": f"{incident.identity}/{incident.updated}", "source": "davy",
            "type": f"davy.v1.Incident.{news}", "subject": incident.key, "time": iso(incident.updated),
            "datacontenttype": "application/json", "data": data,
        }  # fmt: skip
        return Post(receiver.place, encoded(event), "application/cloudevents+json")


RECEIVER = Webhook()
