"""The windows that every peer counts, for peers in Python. The standard library alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from bench.peers.peer import Key, Window, Windows

WINDOW_US = 5_000_000
KEY = ("experiment_id", "service", "environment", "version", "variant", "segment")
ERROR_STATUS = 500
BINS_PER_OCTAVE = 64
_FIRST_OCTAVE = -20
_MANTISSAS = 1024
_POWERS = [(_MANTISSAS + m) ** BINS_PER_OCTAVE for m in range(_MANTISSAS)]
_STEPS = [(1 << j) * _MANTISSAS**BINS_PER_OCTAVE for j in range(BINS_PER_OCTAVE)]
_BIN_OF_MANTISSA = [sum(step <= power for step in _STEPS) - 1 for power in _POWERS]


def bin_of(value: float) -> int:
    """Bin of a value of at least 2**-20, as `analyzers.histogram.bin_of` finds it.

    >>> bin_of(1), bin_of(1.02), bin_of(2)
    (1281, 1282, 1345)
    """
    mantissa, exponent = math.frexp(value)
    within = _BIN_OF_MANTISSA[int((2 * mantissa - 1) * _MANTISSAS)]
    return 1 + (exponent - 1 - _FIRST_OCTAVE) * BINS_PER_OCTAVE + within


def key_text(event: Mapping[str, Any]) -> str:
    """The event's key as text, for peers whose keys are that."""
    return "\t".join(event[name] or "" for name in KEY)


def key_of(text: str) -> Key:
    """The key of `key_text`."""
    return tuple(part or None for part in text.split("\t"))


def empty() -> dict[str, Any]:
    """A window's state as JSON can hold it."""
    return {"rows": 0, "errors": 0, "total": 0, "bins": {}}


def add(state: dict[str, Any], event: Mapping[str, Any]) -> dict[str, Any]:
    """The state with one more event, the same object."""
    duration = event["duration_us"]
    state["rows"] += 1
    state["errors"] += event["status"] >= ERROR_STATUS
    state["total"] += duration
    bins, key = state["bins"], str(bin_of(duration))
    bins[key] = bins.get(key, 0) + 1
    return state


def window_of(state: Mapping[str, Any]) -> Window:
    """A window of such a state."""
    bins = {int(key): count for key, count in state["bins"].items()}
    return Window(state["rows"], state["errors"], state["total"], bins)


def summed(parts: Iterable[tuple[tuple[Key, int], Window]]) -> Windows:
    """Windows of parts that may name a window more than once."""
    found: Windows = {}
    for key, part in parts:
        held = found.setdefault(key, Window(bins={}))
        bins = dict(held.bins or {})
        for place, count in (part.bins or {}).items():
            bins[place] = bins.get(place, 0) + count
        found[key] = Window(held.rows + part.rows, held.errors + part.errors, held.total + part.total, bins)
    return found
