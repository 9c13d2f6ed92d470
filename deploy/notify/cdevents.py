"""CDEvents 0.4 (service deployed, upgraded, rolled back) as CloudEvents in binary mode over HTTP."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from deploy.notify.base import Adapter, Notice
from deploy.notify.http_json import call
from schemas.codec import iso
from schemas.model import Model, Text

VERSION = "0.4.1"
TYPES = {what: f"dev.cdevents.service.{what}.0.2.0" for what in ("deployed", "upgraded", "rolledback")}


class Options(Model):
    """`source` says who tells, as a URI reference."""

    url: Text = Field(examples=["https://events.example/cdevents"], pattern="^https?://")
    source: Text = "/davy/rollout"


class CdEvents:
    """One receiver."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.name = f"cdevents {options.url}"

    def tell(self, notice: Notice) -> None:
        event = event_of(notice, self.options.source)
        context = event["context"]
        headers = {
            "Content-Type": "application/json", "ce-specversion": "1.0", "ce-id": context["id"],
            "ce-source": context["source"], "ce-type": context["type"], "ce-time": context["timestamp"],
            "ce-subject": event["subject"]["id"],
        }  # fmt: skip
        call("POST", self.options.url, headers, event)


def event_of(notice: Notice, source: str) -> dict[str, Any]:
    """The event's body. The artifact is what serves after it: after a rollback the version that was gone back to."""
    spec, decision = notice.spec, notice.decision
    version = notice.serving if notice.what == "rolledback" else notice.version
    return {
        "context": {
            "version": VERSION, "id": f"{decision.decision_id}-{notice.variant}", "source": source,
            "type": TYPES[notice.what], "timestamp": iso(decision.time),
        },
        "subject": {
            "id": spec.service, "source": source, "type": "service",
            "content": {
                "environment": {"id": spec.environment}, "artifactId": f"pkg:generic/{spec.service}@{version}",
            },
        },
        "customData": {
            "experiment": spec.id, "variant": notice.variant, "reason": decision.reason, "actor": decision.actor,
            "weights": dict(decision.weights), "verdict_id": decision.verdict_id,
        },
        "customDataContentType": "application/json",
    }  # fmt: skip


ADAPTER = Adapter("cdevents", Options, CdEvents)
