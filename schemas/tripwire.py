"""Tripwire: a rule of a spec outside the two error budgets, which holds a rollout at once (STATISTICS section 5)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, WithJsonSchema, field_validator

from schemas.model import DURATION_PATTERN, Model, inner_share, positive_duration

RUN_MAX = 100
_NEEDED = {"quantile": "quantile: 0.99", "limit": "limit: 800ms"}


class Tripwire(Model):
    """`rising_errors`: the candidate's error ratio rose in so many `windows` in a row, and is above control's;
    `latency_limit`: its `quantile` was above `limit` in so many. It holds until as many in a row were good. Such a rule knows
    no alpha: it rolls back only where the spec says in so many words that it may, outside of alpha."""

    type: Literal["rising_errors", "latency_limit"] = Field(examples=["latency_limit"])
    windows: int = Field(default=3, ge=1, le=RUN_MAX)
    quantile: Annotated[
        float | None, WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1})
    ] = Field(default=None, examples=["0.99"], validate_default=True)
    limit: Annotated[int | None, WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN})] = Field(
        default=None, examples=["800ms"], validate_default=True
    )
    """In microseconds."""
    action: Literal["hold", "rollback_outside_alpha"] = "hold"

    @field_validator("quantile", "limit", mode="before")
    @classmethod
    def _needed(cls, value: Any, info: ValidationInfo) -> Any:
        kind, name = info.data.get("type"), str(info.field_name)
        if kind == "latency_limit":
            if value is None:
                raise ValueError(f"latency_limit needs one: say {_NEEDED[name]}")
            if name == "quantile":
                return inner_share(value)
            return value if isinstance(value, int) else positive_duration(value)
        if kind is not None and value is not None:
            raise ValueError("only latency_limit has one: remove it")
        return None
