"""Durations, shares and tolerances as people write them: ``5m``, ``1%``, ``0.5pp``, ``20ms``.

All raise ValueError with a sentence that says what would be right.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Literal, NoReturn

from schemas.frozen import frozen

DURATION_MAX_US = 3650 * 86_400_000_000
"""Ten years: a longer duration is a slip."""
_DURATIONS_US = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}
_BYTES = {
    "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30
}  # fmt: skip
_UNITS = {"%": "share", "pp": "points"} | dict.fromkeys(_DURATIONS_US, "time") | dict.fromkeys(_BYTES, "bytes")
_QUANTITY = re.compile(r"([+-]?(?:[0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18}))\s*([A-Za-zµ%]*)")
_WORDS = re.compile(r"(u|µ|micro|ms|mil|s|m|h|d|w)", re.IGNORECASE)
_SHORT = {"u": "us", "µ": "us", "micro": "us", "mil": "ms"}

Dimension = Literal["ratio", "points", "time", "bytes", "number", "traffic"]
"""What a measure is measured in: a share of requests, a score between 0 and 1, microseconds, bytes, its own unit, requests."""
_EXAMPLES: dict[Dimension, str] = {
    "ratio": "0.5pp (percentage points) or 10% (relative)",
    "points": "2pp (0.02)",
    "time": "10% (relative) or 20ms (absolute)",
    "bytes": "10% (relative) or 50MB (absolute)",
    "number": "10% (relative) or 5 (absolute, in the measure's own unit)",
    "traffic": "30%",
}
_ABSOLUTE: dict[Dimension, dict[str, float]] = {
    "ratio": {"pp": 0.01},
    "points": {"pp": 0.01},
    "time": {"": 1} | {name: float(size) for name, size in _DURATIONS_US.items()},
    "bytes": {"": 1} | {name: float(size) for name, size in _BYTES.items()},
    "number": {"": 1},
    "traffic": {},
}
_LEVELS: dict[Dimension, str] = {"time": "120ms", "bytes": "50MB"}
RELATIVE_MAX = 100.0
"""A tolerance above 10,000 % is a slip."""


@frozen()
class Tolerance:
    """How much worse is still fine: relative (0.1 is 10 %) or absolute (0.005: 0.5pp; us, bytes)."""

    kind: Literal["relative", "absolute"]
    value: float


def parse_duration(value: object) -> int:
    """Microseconds.

    >>> parse_duration("5m"), parse_duration("500ms"), parse_duration("1.5h")
    (300000000, 500000, 5400000000)
    """
    number, unit = _quantity(value, "a duration", "30s, 5m or 24h")
    if not unit:
        raise ValueError(f"{_shown(value)} has no unit: say {number}s" if number else "a duration needs a unit: say 0s")
    if unit not in _DURATIONS_US:
        word = _WORDS.match(unit)
        short = _SHORT.get(word[1].lower(), word[1].lower()) if word else None
        if short == "w":
            raise ValueError(f"{_shown(value)} is not a duration: say {number * 7:f}d")
        right = f"{number}{short}" if short else "a number with us, ms, s, m, h or d, like 30s"
        raise ValueError(f"{_shown(value)} is not a duration: say {right}")
    micros = number * _DURATIONS_US[unit]
    if not 0 <= micros <= DURATION_MAX_US:
        raise ValueError(f"{_shown(value)} is not between 0s and 3650d")
    return int(micros.to_integral_value())


def parse_share(value: object) -> float:
    """A share, 0 to 1.

    >>> parse_share("1%"), parse_share("0.01"), parse_share("99.9%")
    (0.01, 0.01, 0.999)
    """
    number, unit = _quantity(value, "a share", "1% or 0.01")
    if unit not in ("", "%"):
        raise ValueError(f"{_shown(value)} is not a share: say {number}%, or a number between 0 and 1")
    share = number / 100 if unit else number
    if share < 0:
        raise ValueError(f"{_shown(value)} is below zero: a share lies between 0% and 100%")
    if share > 1:
        meant = f": say {number}%" if not unit and number <= 100 else ": a share lies between 0% and 100%"
        raise ValueError(f"{_shown(value)} is more than everything{meant}")
    return float(share)


def parse_tolerance(value: object, dimension: Dimension) -> Tolerance:
    """``10%`` is relative, anything else absolute in what the measure is measured in.

    >>> parse_tolerance("10%", "time")
    Tolerance(kind='relative', value=0.1)
    >>> parse_tolerance("0.5pp", "ratio"), parse_tolerance("20ms", "time").value
    (Tolerance(kind='absolute', value=0.005), 20000.0)
    """
    example = _EXAMPLES[dimension]
    number, unit = _quantity(value, "a tolerance", example)
    if number < 0:
        raise ValueError(
            f"{_shown(value)} is below zero: a tolerance says how much worse is still fine, like {example}"
        )
    if unit == "%" and dimension == "points":
        raise ValueError(f"{_shown(value)} is relative, but this is a score between 0 and 1: say {number}pp")
    if unit == "%":
        return _relative(number / 100, value, dimension)
    sizes = _ABSOLUTE[dimension]
    if unit not in sizes:
        _wrong_unit(number, unit, value, dimension)
    if unit == "pp" and number >= 100:
        raise ValueError(f"{_shown(value)} allows everything to fail: say for example 0.5pp")
    return Tolerance("absolute", float(number * Decimal(str(sizes[unit]))))


def parse_level(value: object, dimension: Dimension) -> float:
    """What is normal for a measure, in its own unit: a share, microseconds, bytes.

    >>> parse_level("0.5%", "ratio"), parse_level("0.95", "points"), parse_level("120ms", "time")
    (0.005, 0.95, 120000.0)
    """
    if dimension in ("ratio", "points"):
        return parse_share(value)
    level = parse_tolerance(value, dimension)
    if level.kind == "relative" or not level.value:
        raise ValueError(f"{_shown(value)} is not a level: say for example {_LEVELS.get(dimension, '5')}")
    return level.value


def _relative(share: Decimal, value: object, dimension: Dimension) -> Tolerance:
    if dimension == "traffic" and not 0 < share < 1:
        raise ValueError(
            f"{_shown(value)} is not between 0% and 100%: say what part of traffic may be missing, like 30%"
        )
    if share > Decimal(str(RELATIVE_MAX)):
        raise ValueError(f"{_shown(value)} is more than {RELATIVE_MAX * 100:.0f}%: say {_EXAMPLES[dimension]}")
    return Tolerance("relative", float(share))


def _wrong_unit(number: Decimal, unit: str, value: object, dimension: Dimension) -> NoReturn:
    if not unit and dimension == "points":
        raise ValueError(f"{_shown(value)} has no unit: say {_EXAMPLES[dimension]}")
    if not unit:
        say = f"{number}pp (percentage points) or {number}% (relative)" if dimension == "ratio" else f"{number}%"
        if number < 1:
            say = _EXAMPLES[dimension] if number == 0 else say.replace(str(number), f"{(number * 100).normalize():f}")
        raise ValueError(f"{_shown(value)} has no unit: say {say}")
    kind = _UNITS.get(unit)
    told = {"points": "is in percentage points", "time": "is a time", "bytes": "is a size"}.get(kind or "")
    if told is None:
        raise ValueError(f"{_shown(value)} has an unknown unit {unit!r}: say {_EXAMPLES[dimension]}")
    measured = {
        "ratio": "a share of requests",
        "points": "a score between 0 and 1",
        "time": "a time",
        "bytes": "a size",
        "number": "a number",
        "traffic": "traffic",
    }
    raise ValueError(f"{_shown(value)} {told}, but this measures {measured[dimension]}: say {_EXAMPLES[dimension]}")


def _quantity(value: object, what: str, example: str) -> tuple[Decimal, str]:
    """Number and unit of a text, both as written."""
    match = _QUANTITY.fullmatch(str(value).strip()) if isinstance(value, (str, int, float)) else None
    if match is None or isinstance(value, bool):
        raise ValueError(f"{_shown(value)} is not {what}: say {example}")
    return Decimal(match[1]), match[2]


def _shown(value: object) -> str:
    """A value in a message; long ones are cut."""
    if value is None:
        return "nothing"
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = str(value)
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


def show_bytes(size: float) -> str:
    """Bytes for people.

    >>> show_bytes(5 * 2**20), show_bytes(100)
    ('5 MiB', '100 B')
    """
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if abs(size) >= 1 << power:
            return f"{size / (1 << power):.3g} {unit}"
    return f"{size:.3g} B"
