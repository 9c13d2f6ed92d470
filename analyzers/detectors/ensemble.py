"""The default: scores of `extremes`, changes of `shifts`, each what measures best at its question (docs/detection.md)."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from analyzers.detectors import extremes, shifts
from analyzers.detectors.base import Found


@dataclass(frozen=True, slots=True)
class State:
    """Those of the two."""

    extremes: extremes.State
    shifts: shifts.State


class Ensemble:
    """Both at once."""

    source = f"{extremes.DETECTOR.source}; {shifts.DETECTOR.source}"

    def start(self) -> State:
        """Nothing seen."""
        return State(extremes.DETECTOR.start(), shifts.DETECTOR.start())

    def step(self, state: State, times_us: array[int], values: array[float]) -> tuple[State, Found]:
        """See `Detector`."""
        one, scored = extremes.DETECTOR.step(state.extremes, times_us, values)
        other, told = shifts.DETECTOR.step(state.shifts, times_us, values)
        return State(one, other), Found(scored.scores, told.changes)


DETECTOR = Ensemble()
