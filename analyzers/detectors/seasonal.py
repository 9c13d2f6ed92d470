"""Robust seasonal residuals: conformal scores, and changes of level by an e-detector (`analyzers.kernels.seasonal`)."""

from __future__ import annotations

import math
from array import array
from functools import cache
from statistics import NormalDist

from analyzers.detectors.base import Found, seconds
from analyzers.kernels import seasonal as kernel
from analyzers.native import Native
from schemas.frozen import frozen

AVERAGE_RUN_ROWS = 10_000
"""Without a change, on average no earlier alarm."""
ABSOLUTE_TO_SD = math.sqrt(math.pi / 2)
"""Standard deviations of a normal variable in its mean size."""
LOOP = Native(kernel.seasonal, arrays=6)


@frozen()
class State:
    """`memory`: places are named in the kernel."""

    memory: array[float]


@cache
def table() -> array[float]:
    """The e-values of all bets and ranks, each at the least surprising end of its rank; then the average run length."""
    normal = NormalDist()
    ends = [normal.inv_cdf(1 - (i + 1) / kernel.RANKS) for i in range(kernel.RANKS - 1)]
    scores = [*ends, ends[-1]]
    bets = range(1, kernel.BETS // 2 + 1)
    return array("d", [*(math.exp(bet * z - bet * bet / 2) for bet in bets for z in scores), AVERAGE_RUN_ROWS])


class Seasonal:
    """How rare a row is at its time of the day or week, and changes of level."""

    source = (
        "Vovk, Gammerman and Shafer 2005 (conformal p-values), over residuals of the best of three seasonal forecasts; "
        'Shin, Ramdas and Rinaldo, "E-detectors: a nonparametric framework for sequential change detection" (2024)'
    )

    def start(self) -> State:
        """Nothing seen: residuals are expected to be normal, as if `PRIOR` rows had said so."""
        memory = array("d", [0.0]) * kernel.SIZE
        normal, width = NormalDist(0.0, ABSOLUTE_TO_SD), 2 * kernel.SPAN / kernel.BINS
        for i in range(kernel.BINS):
            low = i * width - kernel.SPAN
            memory[kernel.HISTOGRAM + i] = kernel.PRIOR * (normal.cdf(low + width) - normal.cdf(low))
        memory[kernel.WEIGHT], memory[kernel.UNIT] = kernel.PRIOR, 1.0
        return State(memory)

    def step(self, state: State, times_us: array[int], values: array[float]) -> tuple[State, Found]:
        """See `Detector`."""
        memory, empty = state.memory[:], bytes(8 * len(values))
        scores, changes = array("d", empty), array("d", empty)
        LOOP(memory, table(), seconds(times_us), values, scores, changes, rows=len(values))
        return State(memory), Found(scores, changes)


DETECTOR = Seasonal()
