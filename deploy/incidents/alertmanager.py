"""Prometheus Alertmanager, API v2: `url` is its address. Alerts that are not sent again are forgotten after five minutes."""

from __future__ import annotations

from typing import Any

from deploy.incidents.base import Post, encoded, iso, linked
from schemas.alerts import Receiver
from schemas.incident import Incident

GOOD_FOR_US = 300_000_000


class Alertmanager:
    """POST /api/v2/alerts: labels make the identity, so they are the same in all news of an incident."""

    type = "alertmanager"
    repeats = True

    def write(self, incident: Incident, receiver: Receiver, link: str | None, now: int) -> Post:
        """See `Writer`."""
        steady = {name: value for name, value in incident.labels.items() if name != "verdict_id"}
        kind = incident.key.split("/", 1)[0]
        name = "Davy" + "".join(part.capitalize() for part in kind.split("-"))
        alert: dict[str, Any] = {
            "labels": {"alertname": name, "severity": incident.severity, "source": "davy", **steady},
            "annotations": {"summary": incident.title, "description": incident.text},
            "startsAt": iso(incident.started),
            "endsAt": iso(incident.ended if incident.ended is not None else now + GOOD_FOR_US),
        }
        if verdict := incident.labels.get("verdict_id"):
            alert["annotations"]["verdict_id"] = verdict
        if page := linked(incident, link):
            alert["generatorURL"] = page
        return Post(f"{receiver.place.rstrip('/')}/api/v2/alerts", encoded([alert]))


RECEIVER = Alertmanager()
