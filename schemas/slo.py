"""Slo: what share of a service's requests must be good over a period, and which are not; `slos:` of davy.yaml.

>>> slo = Slo.model_validate({"service": "checkout", "environment": "production", "objective": "99.9%"})
>>> slo.window_us // 86_400_000_000, slo.slower_than_us, slo.min_bad
(30, None, 10)
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from schemas.model import DURATION_PATTERN, InnerShare, Model, PositiveUs, Share, Text, positive_duration

SLOS_MAX = 200
MIN_BAD = 10
DAY_US = 86_400_000_000
PERIOD_MAX_US = 366 * DAY_US


def _days(value: object) -> int:
    window_us = value if isinstance(value, int) else positive_duration(value)
    if not DAY_US <= window_us <= PERIOD_MAX_US:
        raise ValueError(f"{value!r} is not a period of 1d to 366d: say for example 30d")
    return window_us


PeriodUs = Annotated[int, BeforeValidator(_days), WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN})]


class ErrorBudget(Model):
    """The share of requests of the service that must be good over a window. With less than `slow_below` of any budget of the
    service left, steps take longer in proportion; below `hold_below` nothing advances and nothing is promoted."""

    objective: InnerShare = 0.999
    window_us: PositiveUs = Field(default=30 * DAY_US, alias="window", json_schema_extra={"default": "30d"})
    slow_below: Share | None = Field(default=None, examples=["25%"])
    hold_below: Share | None = Field(default=None, examples=["10%"])

    @model_validator(mode="after")
    def _slows_before_it_holds(self) -> Self:
        if self.slow_below is not None and self.hold_below is not None and self.slow_below <= self.hold_below:
            raise ValueError("slow_below must be above hold_below: a rollout slows before it holds")
        return self

    @property
    def acts(self) -> bool:
        """Whether a low budget does anything to the rollout."""
        return self.slow_below is not None or self.hold_below is not None

    @property
    def name(self) -> str:
        """Of the objective that it means; specs that mean the same share one."""
        return f"errors-{100 * self.objective:g}-{period(self.window_us)}"


class Slo(Model):
    """One objective. Bad are errors, or with `slower_than` the requests that take longer. An alert needs `min_bad` bad ones
    in its long window: with little traffic one bad request is no burn rate."""

    service: Text = Field(examples=["checkout"])
    environment: Text = Field(examples=["production"])
    objective: InnerShare = Field(examples=["99.9%"])
    window_us: PeriodUs = Field(default=30 * DAY_US, alias="window", json_schema_extra={"default": "30d"})
    slower_than_us: PositiveUs | None = Field(default=None, alias="slower_than", examples=["300ms"])
    min_bad: int = Field(default=MIN_BAD, ge=1, le=1_000_000)


def period(window_us: int) -> str:
    """As specs write it: ``30d``."""
    for unit, size in (("d", DAY_US), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000)):
        if window_us % size == 0:
            return f"{window_us // size}{unit}"
    return f"{window_us}us"
