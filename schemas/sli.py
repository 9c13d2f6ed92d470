"""SliSpec: one service-level indicator of a spec, and how much worse it may become."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from schemas.frozen import frozen
from schemas.located import is_mapping
from schemas.model import DURATION_PATTERN, Identifier, Model, inner_share, positive_duration, suggestion
from schemas.units import Dimension, Tolerance, parse_tolerance

Limit = Literal["max_increase", "max_decrease"]


@frozen()
class SliType:
    """What a spec may say of one type. `dimension` None: its `field`'s; `default`: of the first limit."""

    dimension: Dimension | None
    limits: tuple[Limit, ...]
    default: str
    needs: Literal["quantile", "field", "target"] | None = None


SLI_TYPES: Mapping[str, SliType] = {
    "error_ratio": SliType("ratio", ("max_increase",), "0.5pp"),
    "latency_quantile": SliType("time", ("max_increase",), "10%", needs="quantile"),
    "latency_mean": SliType("time", ("max_increase",), "5%"),
    "apdex": SliType("points", ("max_decrease",), "2pp", needs="target"),
    "error_budget_burn": SliType("number", ("max_increase",), "1"),
    "throughput": SliType("traffic", ("max_decrease",), "30%"),
    "resource_mean": SliType(None, ("max_increase", "max_decrease"), "15%", needs="field"),
}
"""Every type that a spec may name, as `analyzers.slis` implements them."""
FIELD_DIMENSIONS: Mapping[str, Dimension] = {"duration_us": "time", "cpu_us": "time", "memory_bytes": "bytes"}
"""Measures of every event; those registered in davy.yaml are plain numbers."""
_NEEDED = {"quantile": "quantile: 0.99", "field": "field: cpu_us", "target": "target: 200ms"}


def _known_type(value: Any) -> str:
    if not isinstance(value, str) or value not in SLI_TYPES:
        raise ValueError(f"{value!r} is unknown: {suggestion(str(value), SLI_TYPES)}")
    return value


_TOLERANCE_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "pattern": r"^[0-9.]+\s*(%|pp|us|ms|s|m|h|d|k?B|[KMG]i?B)?$"},
        {"type": "number", "minimum": 0},
    ]
}
ToleranceField = Annotated[Tolerance | None, WithJsonSchema(_TOLERANCE_SCHEMA)]


class SliSpec(Model):
    """One SLI. Exactly one of `max_increase` and `max_decrease` is set. `line`: where it stands."""

    name: Identifier = Field(examples=["errors"])
    type: Annotated[str, BeforeValidator(_known_type), WithJsonSchema({"type": "string", "enum": list(SLI_TYPES)})] = (
        Field(examples=["error_ratio"])
    )
    field: Identifier | None = Field(default=None, examples=["cpu_us"], validate_default=True)
    quantile: Annotated[
        float | None, WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1})
    ] = Field(default=None, examples=["0.99"], validate_default=True)
    target: Annotated[int | None, WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN})] = Field(
        default=None, examples=["200ms"], validate_default=True
    )
    """In microseconds."""
    mode: Literal["enforce", "shadow"] = "enforce"
    max_increase: ToleranceField = None
    max_decrease: ToleranceField = None
    _line: int = PrivateAttr(default=1)

    @property
    def line(self) -> int:
        """Where it stands in the spec's source."""
        return self._line

    @property
    def dimension(self) -> Dimension:
        """What it is measured in."""
        return SLI_TYPES[self.type].dimension or FIELD_DIMENSIONS.get(self.field or "", "number")

    @property
    def limit(self) -> Limit:
        """Which way is worse."""
        return "max_increase" if self.max_increase is not None else "max_decrease"

    @property
    def tolerance(self) -> Tolerance:
        """The one of `max_increase` and `max_decrease` that is set."""
        tolerance = self.max_increase or self.max_decrease
        assert tolerance is not None, "the default fills it"
        return tolerance

    def on_line(self, line: int) -> SliSpec:
        """The same, standing at that line."""
        placed = self.model_copy()
        placed._line = line
        return placed

    @model_validator(mode="before")
    @classmethod
    def _default_tolerance(cls, data: Any) -> Any:
        if not is_mapping(data):
            return data
        kind = SLI_TYPES.get(str(data.get("type")))
        if kind is None or data.get("max_increase") is not None or data.get("max_decrease") is not None:
            return data
        return {**data, kind.limits[0]: kind.default}

    @field_validator("field", "quantile", "target", mode="before")
    @classmethod
    def _needed(cls, value: Any, info: ValidationInfo) -> Any:
        kind = info.data.get("type")
        if kind is None:
            return value
        name = str(info.field_name)
        if SLI_TYPES[kind].needs == name:
            if value is None:
                raise ValueError(f"{kind} needs one: say {_NEEDED[name]}")
            if name == "target":
                return value if isinstance(value, int) else positive_duration(value)
            return _quantile(value) if name == "quantile" else value
        if value is not None:
            owner = next(known for known, sli in SLI_TYPES.items() if sli.needs == name)
            raise ValueError(f"only {owner} has one: remove it")
        return None

    @field_validator("max_increase", "max_decrease", mode="before")
    @classmethod
    def _tolerance(cls, value: Any, info: ValidationInfo) -> Tolerance | None:
        kind = info.data.get("type")
        if kind is None or isinstance(value, Tolerance):
            return value if isinstance(value, Tolerance) else None
        sli, name = SLI_TYPES[kind], str(info.field_name)
        if name not in sli.limits:
            raise ValueError(f"{kind} has none: say {sli.limits[0]}: {sli.default}")
        if name == "max_decrease" and info.data.get("max_increase") is not None:
            raise ValueError("max_increase is given too: say only the one that would be harm")
        return parse_tolerance(value, sli.dimension or FIELD_DIMENSIONS.get(info.data.get("field") or "", "number"))


def _quantile(value: object) -> float:
    try:
        return inner_share(value)
    except ValueError:
        digits = str(value).lower().lstrip("p").rstrip("%").replace(".", "")
        say = f"0.{digits}" if digits.isdigit() and str(value)[:1] != "-" and int(digits) else "0.99"
        raise ValueError(f"{str(value)!r} is not a quantile, which lies between 0 and 1: say {say}") from None
