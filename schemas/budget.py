"""BudgetStatus: one objective of one service, what is left of its error budget, and how fast it burns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from schemas.frozen import frozen
from schemas.record import Record

BudgetAlert = Literal["NONE", "TICKET", "PAGE"]


@frozen()
class BudgetBurn(Record):
    """One multi-window alert rule: it burns when both rates are above `factor` and enough requests were bad."""

    severity: str
    factor: float
    long_us: int
    short_us: int
    long: float | None
    short: float | None
    burning: bool


@frozen()
class BudgetStatus(Record):
    """Times are UTC microseconds; `left` is 1 for an untouched budget, below 0 where more than all was spent."""

    SCHEMA: ClassVar[str] = "BudgetStatus"

    slo: str
    service: str
    environment: str
    time: int
    objective: float
    window_us: int
    slower_than_us: int | None
    covered_us: int
    requests: int
    bad: int
    allowed: float
    left: float
    alert: BudgetAlert
    alert_since: int | None
    burns: tuple[BudgetBurn, ...]
    spent: Mapping[str, float]
    reason: str

    @property
    def key(self) -> str:
        """Of its objective."""
        return f"{self.service}/{self.environment}/{self.slo}"

    @classmethod
    def from_avro(cls, data: Mapping[str, Any]) -> Self:
        """With its burns."""
        values: dict[str, Any] = {**data, "burns": tuple(BudgetBurn(**burn) for burn in data["burns"])}
        return cls(**values)
