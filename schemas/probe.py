"""ProbeResult: what one health probe of one dependency saw."""

from __future__ import annotations

from typing import ClassVar, Literal

from schemas.frozen import frozen
from schemas.record import Record

Circuit = Literal["CLOSED", "OPEN", "HALF_OPEN"]


@frozen()
class ProbeResult(Record):
    """`error_ratio` is the share of recent probes that failed; `services` are those that depend on the target."""

    SCHEMA: ClassVar[str] = "ProbeResult"

    target: str
    kind: str
    time: int
    ok: bool
    circuit: Circuit
    latency_us: int | None
    error: str | None
    error_ratio: float
    services: tuple[str, ...] = ()
