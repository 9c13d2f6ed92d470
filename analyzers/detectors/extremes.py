"""Scores of rows that go beyond everything before, in ten views of the series (`analyzers.kernels.extremes`)."""

from __future__ import annotations

from array import array

from analyzers.detectors.base import Found, seconds, share
from analyzers.kernels import extremes as kernel
from analyzers.native import Native
from schemas.frozen import frozen

HALF = 1.6
"""The sum of the views' excesses that has the score 1/2: the best threshold on the tuning half of docs/detection.md."""
LOOP = Native(kernel.extremes, arrays=4)


@frozen()
class State:
    """`memory`: places are named in the kernel."""

    memory: array[float]


class Extremes:
    """Records of views; tells no changes."""

    source = "records as anomalies: Siffer et al. 2017, sections 2 and 4.3, without their tail model; views: docs/detection.md"

    def start(self) -> State:
        """Nothing seen."""
        return State(array("d", [0.0]) * kernel.SIZE)

    def step(self, state: State, times_us: array[int], values: array[float]) -> tuple[State, Found]:
        """See `Detector`."""
        memory, scores = state.memory[:], array("d", bytes(8 * len(values)))
        LOOP(memory, seconds(times_us), values, scores, rows=len(values))
        found = array("d", [share(score, HALF) for score in scores])
        return State(memory), Found(found, array("d", bytes(8 * len(values))))


DETECTOR = Extremes()
