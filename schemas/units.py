"""Durations, shares and tolerances as people write them: ``5m``, ``1%``, ``0.5pp``, ``20ms``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal

DURATION_MAX_US = 10 * 365 * 86_400 * 1_000_000
"""Ten years: a longer duration is a slip."""
_DURATIONS_US = {
    "us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000, "w": 604_800_000_000,
}  # fmt: skip
_SIZES = {"B": 1.0, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}
_NUMBER = re.compile(r"([+-]?\d+(?:\.\d+)?)\s*([A-Za-z%]*)")


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How much worse is still fine: relative (0.1 is 10 %) or absolute (0.005 is 0.5pp; microseconds, bytes)."""

    kind: Literal["relative", "absolute"]
    value: float


def _split(text: str, example: str) -> tuple[float, str]:
    match = _NUMBER.fullmatch(text.strip())
    if match is None or not math.isfinite(float(match[1])):
        raise ValueError(f"{text!r} is not understood; write for example {example}")
    return float(match[1]), match[2]


def parse_duration(value: Any) -> int:
    """Microseconds of ``500ms``, ``30s``, ``5m``, ``24h``, ``30d``; raises ValueError with what would be right."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError("a duration is written like 30s, 5m or 24h")
    if not isinstance(value, str):
        raise ValueError(f"{value} has no unit; say {value}s, {value}m or {value}h")
    number, unit = _split(value, "30s, 5m or 24h")
    if unit not in _DURATIONS_US:
        raise ValueError(f"{value!r} has no known unit; write for example 30s, 5m or 24h")
    micros = number * _DURATIONS_US[unit]
    if not 0 <= micros <= DURATION_MAX_US:
        raise ValueError(f"{value!r} is out of range; a duration lies between 0s and 3650d")
    return round(micros)


def parse_share(value: Any) -> float:
    """A share of 0 to 1, written ``1%`` or ``0.01``; raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError("a share is written like 1% or 0.01")
    number, unit = (float(value), "") if not isinstance(value, str) else _split(value, "1% or 0.01")
    if unit not in ("", "%"):
        raise ValueError(f"{value!r} is no share; write for example 1% or 0.01")
    share = number / 100 if unit == "%" else number
    if not 0 <= share <= 1:
        hint = f"; did you mean {number:g}%?" if unit == "" and 1 < number <= 100 else ""
        raise ValueError(f"{value} is not between 0% and 100%{hint}")
    return share


def parse_tolerance(value: Any) -> Tolerance:
    """``10%`` is relative, ``0.5pp`` absolute in percentage points, ``20ms``, ``50MB`` or a bare number absolute."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError("a tolerance is written like 10% (relative), 0.5pp (percentage points) or 20ms")
    if not isinstance(value, str):
        return _tolerance("absolute", float(value), value)
    number, unit = _split(value, "10% (relative), 0.5pp (percentage points) or 20ms")
    if unit == "%":
        return _tolerance("relative", number / 100, value)
    if unit == "pp":
        return _tolerance("absolute", number / 100, value)
    if unit in _DURATIONS_US:
        return _tolerance("absolute", number * _DURATIONS_US[unit], value)
    if unit in _SIZES or not unit:
        return _tolerance("absolute", number * _SIZES.get(unit, 1.0), value)
    raise ValueError(f"{value!r} has no known unit; write for example 10% (relative), 0.5pp (percentage points) or 20ms")


def _tolerance(kind: Literal["relative", "absolute"], value: float, written: Any) -> Tolerance:
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{written} is negative or no number; a tolerance is 0 or more")
    return Tolerance(kind, value)
