"""`alerts:` of davy.yaml: who is told of incidents.

>>> pager = {"type": "pagerduty", "url": "https://events.pagerduty.com/v2/enqueue", "key": "k"}
>>> Alerts.model_validate({"receivers": {"pager": pager}}).receivers["pager"].timeout_us
5000000
"""

from __future__ import annotations

from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from schemas.model import DurationUs, Identifier, Model, PositiveUs, Text

RECEIVERS_MAX = 32


class Receiver(Model):
    """One place that incidents go to; `url` and `key` (PagerDuty's routing key) are secrets."""

    type: Identifier = Field(examples=["alertmanager"])
    url: SecretStr = Field(min_length=1, examples=["http://localhost:9093"])
    key: SecretStr | None = Field(default=None, min_length=1)
    timeout_us: PositiveUs = Field(default=5_000_000, alias="timeout", json_schema_extra={"default": "5s"})

    @model_validator(mode="after")
    def _is_http(self) -> Self:
        parts = urlsplit(self.place)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("url must be an http or https URL")
        return self

    @property
    def place(self) -> str:
        """The URL, with its secrets."""
        return self.url.get_secret_value()


class Alerts(Model):
    """`sustained`: what is not final must last that long before it is an incident. `link` is the console's address as people
    reach it. Beyond `outbox_max` messages for a receiver that takes none, its oldest are dropped, and counted."""

    receivers: dict[Identifier, Receiver] = Field(default={}, max_length=RECEIVERS_MAX)
    sustained_us: DurationUs = Field(default=30_000_000, alias="sustained", json_schema_extra={"default": "30s"})
    link: Text | None = Field(default=None, examples=["https://davy.example.com"])
    outbox_max: int = Field(default=10_000, ge=10, le=1_000_000)
