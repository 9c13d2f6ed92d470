"""PagerDuty Events API v2: `url` is https://events.pagerduty.com/v2/enqueue, `key` the integration's routing key."""

from __future__ import annotations

from typing import Any

from deploy.incidents.base import Post, encoded, iso, linked
from schemas.alerts import Receiver
from schemas.incident import Incident

SUMMARY_CHARACTERS = 1024
"""PagerDuty takes no longer one."""


class PagerDuty:
    """Trigger and resolve with one deduplication key."""

    type = "pagerduty"
    repeats = False

    def write(self, incident: Incident, receiver: Receiver, link: str | None, now: int) -> Post:
        """See `Writer`."""
        event: dict[str, Any] = {
            "routing_key": receiver.key.get_secret_value() if receiver.key is not None else "",
            "event_action": "trigger" if incident.ended is None else "resolve",
            "dedup_key": incident.identity,
            "client": "Davy",
            "payload": {
                "summary": incident.title[:SUMMARY_CHARACTERS],
                "source": incident.labels.get("service") or incident.labels.get("target") or "davy",
                "severity": incident.severity,
                "timestamp": iso(incident.updated),
                "custom_details": {"text": incident.text, **incident.labels},
            },
        }
        if page := linked(incident, link):
            event["client_url"] = page
        return Post(receiver.place, encoded(event))


RECEIVER = PagerDuty()
