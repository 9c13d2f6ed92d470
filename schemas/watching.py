"""Watching: how much worse a service that no experiment judges may become before it is told (`watch:` in davy.yaml)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, Field

from schemas.model import Model
from schemas.units import Dimension, parse_tolerance


def _tolerance(dimension: Dimension) -> Callable[[str], str]:
    def checked(text: str) -> str:
        if not parse_tolerance(text, dimension).value:
            raise ValueError(f"{text!r} allows nothing, so that chance alone would be told: say for example 5%")
        return text

    return checked


class Watching(Model):
    """Tolerances as in a spec: of each version its share of errors and its p99, of all versions together their traffic."""

    errors: Annotated[str, AfterValidator(_tolerance("ratio"))] = Field(default="0.5pp", examples=["1pp"])
    """Increase that is allowed."""
    latency_p99: Annotated[str, AfterValidator(_tolerance("time"))] = Field(default="20%", examples=["50ms"])
    """Increase that is allowed."""
    traffic: Annotated[str, AfterValidator(_tolerance("traffic"))] = Field(default="50%", examples=["70%"])
    """Decrease that is allowed."""
