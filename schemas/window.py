"""WindowSummary: one closed window of one version and variant, for people and analysts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from schemas.frozen import frozen
from schemas.record import Record


@frozen()
class WindowSummary(Record):
    """Counts are exact; quantiles come from a histogram with bins 1.1 % wide (at most 0.6 % off); times in microseconds.

    A later `revision` of the same window replaces an earlier one. `duplicates` are estimated.
    """

    SCHEMA: ClassVar[str] = "WindowSummary"

    experiment_id: str | None
    service: str
    environment: str
    version: str
    variant: str | None
    start: int
    end: int
    rows: int
    errors: int
    mean_us: float | None
    p50_us: float | None
    p90_us: float | None
    p95_us: float | None
    p99_us: float | None
    p999_us: float | None
    requests: float
    late: int
    quarantined: int
    measures: Mapping[str, float]
    revision: int
    duplicates: int = 0
