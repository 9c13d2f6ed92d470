"""Incident: something that people should know, from when it began to when it was over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import ClassVar, Literal

from schemas.frozen import frozen
from schemas.record import Record

Severity = Literal["critical", "error", "warning", "info"]


@frozen()
class Incident(Record):
    """`key` tells it from others: all news of one incident have one key and one `started`. Times are UTC microseconds."""

    SCHEMA: ClassVar[str] = "Incident"

    key: str
    severity: Severity
    title: str
    text: str
    started: int
    updated: int
    ended: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    """Service, environment, experiment, variant, target, slo, verdict_id: those that it has."""

    @property
    def identity(self) -> str:
        """Of this occurrence: the same key later is another."""
        return f"davy/{self.key}/{self.started}"

    @property
    def kind(self) -> str:
        """What it is an incident of, as `deploy.incident_book` lists them."""
        return self.key.partition("/")[0]
