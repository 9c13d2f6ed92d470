"""The default: scores of `extremes`, changes of `seasonal`, each what measures best at its question (docs/detection.md)."""

from __future__ import annotations

from array import array

from analyzers.detectors import extremes, seasonal
from analyzers.detectors.base import Found
from schemas.frozen import frozen


@frozen()
class State:
    """Those of the two."""

    extremes: extremes.State
    seasonal: seasonal.State


class Ensemble:
    """Both at once."""

    source = f"{extremes.DETECTOR.source}; {seasonal.DETECTOR.source}"

    def start(self) -> State:
        """Nothing seen."""
        return State(extremes.DETECTOR.start(), seasonal.DETECTOR.start())

    def step(self, state: State, times_us: array[int], values: array[float]) -> tuple[State, Found]:
        """See `Detector`."""
        one, scored = extremes.DETECTOR.step(state.extremes, times_us, values)
        other, told = seasonal.DETECTOR.step(state.seasonal, times_us, values)
        return State(one, other), Found(scored.scores, told.changes)


DETECTOR = Ensemble()
