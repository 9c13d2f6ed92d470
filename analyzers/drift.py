"""River's drift detectors as `analyzers.detectors.base.Detector`.

Theirs are objects that cannot be kept; here the state is what they have seen since they last began, of at most `ROWS_MAX`
rows, and each batch begins by showing them that again. Rows are standardised by the first of them.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from typing import Protocol

from analyzers.detectors.base import Found
from schemas.frozen import frozen

FIRST_ROWS = 30
"""Rows that only say what is usual."""
ROWS_MAX = 2000
"""After so many rows without a change, it begins again with those to come."""
LARGEST = 1e150


class River(Protocol):
    """What is used of a `river.base.DriftDetector`."""

    @property
    def drift_detected(self) -> bool:
        """Whether the latest row told a change."""
        ...

    def update(self, x: float) -> object:
        """One more row."""
        ...


@frozen()
class State:
    """Rows since it began."""

    rows: array[float]


class Drift:
    """A detector of changes by one of river's; the score is 1 at a change, else 0."""

    def __init__(self, make: Callable[[], River], source: str) -> None:
        self._make = make
        self.source = source

    def start(self) -> State:
        """Nothing seen."""
        return State(array("d"))

    def step(self, state: State, times_us: array[int], values: array[float]) -> tuple[State, Found]:
        """See `Detector`."""
        rows, drift = state.rows[:], self._make()
        usual = _usual(rows)
        for value in rows[FIRST_ROWS:]:
            drift.update(_standard(value, usual))
        changes = array("d", bytes(8 * len(values)))
        for row, value in enumerate(values):
            if math.isnan(value):
                continue
            rows.append(max(-LARGEST, min(LARGEST, value)))
            if len(rows) <= FIRST_ROWS:
                usual = _usual(rows)
                continue
            drift.update(_standard(rows[-1], usual))
            changes[row] = float(drift.drift_detected)
            if changes[row] or len(rows) >= ROWS_MAX:
                rows, drift = array("d"), self._make()
        return State(rows), Found(changes[:], changes)


def _usual(rows: array[float]) -> tuple[float, float]:
    """Mean and standard deviation of the first rows."""
    first = rows[:FIRST_ROWS]
    if not first:
        return 0.0, 1.0
    mean = math.fsum(value / len(first) for value in first)
    return mean, math.sqrt(math.fsum((value - mean) ** 2 / len(first) for value in first))


def _standard(value: float, usual: tuple[float, float]) -> float:
    mean, spread = usual
    return (value - mean) / max(spread, 1e-9 * abs(mean), 1e-12)
