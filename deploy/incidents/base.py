"""What every type of receiver makes of an incident: one HTTP POST. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from schemas.alerts import Receiver
from schemas.incident import Incident


@dataclass(frozen=True, slots=True)
class Post:
    """What is sent."""

    url: str
    body: bytes
    content_type: str = "application/json"


class Writer(Protocol):
    """One type of receiver."""

    @property
    def type(self) -> str:
        """Its name in the configuration."""
        ...

    @property
    def repeats(self) -> bool:
        """Whether it forgets an open incident that is not told again."""
        ...

    def write(self, incident: Incident, receiver: Receiver, link: str | None, now: int) -> Post:
        """The incident as this receiver takes it."""
        ...


def encoded(document: Any) -> bytes:
    """As JSON; never NaN."""
    return json.dumps(document, allow_nan=False, ensure_ascii=False).encode()


def iso(time_us: int) -> str:
    """RFC 3339 in UTC."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def linked(incident: Incident, link: str | None) -> str | None:
    """The console's page of its experiment."""
    if link is None:
        return None
    experiment = incident.labels.get("experiment")
    return f"{link.rstrip('/')}/#{experiment}" if experiment else link
