"""A change of distribution with a guaranteed average run length: an e-detector over sequential ranks.

While rows are exchangeable, the rank of each among those before it is uniform and independent of the ranks before, whatever
the distribution. So p = rank from the top (or bottom), ties counted against it, over rows so far, and k p^(k - 1) with
0 < k < 1 has expectation at most 1 (the sum over equal steps of a falling function is below its integral). The sum
R <- (1 + R) e then exceeds A on average no sooner than after A rows without a change. It sees changes of level and of one
tail; it knows no seasons: use `seasonal` for those.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right

from analyzers.detectors.base import Found
from schemas.frozen import frozen

AVERAGE_RUN_ROWS = 10_000
POWERS = (0.1, 0.3)
"""k of the bets: small ones for far tails, larger ones for small shifts."""
ROWS_MAX = 50_000
"""Rows that ranks are taken among; then it starts again, as after a change, but tells none."""


@frozen()
class State:
    """`ordered`: rows since the last change, by size; `sums`: R per bet, upwards then downwards."""

    ordered: array[float]
    sums: tuple[float, ...]


class EDetector:
    """Shiryaev-Roberts e-detectors over ranks, averaged; the score is the logarithm of that over ln A."""

    source = 'Shin, Ramdas and Rinaldo, "E-detectors: a nonparametric framework for sequential change detection" (2024)'

    def start(self) -> State:
        """Nothing seen."""
        return State(array("d"), (0.0,) * 2 * len(POWERS))

    def step(self, state: State, times_us: array[int], values: array[float]) -> tuple[State, Found]:
        """See `Detector`."""
        ordered, sums = state.ordered[:], list(state.sums)
        scores, changes = array("d", bytes(8 * len(values))), array("d", bytes(8 * len(values)))
        for row, value in enumerate(values):
            if math.isnan(value):
                continue
            before, below = len(ordered), bisect_left(ordered, value)
            up = (before - below + 1) / (before + 1)
            down = (bisect_right(ordered, value) + 1) / (before + 1)
            ordered.insert(below, value)
            for i, p in enumerate((up,) * len(POWERS) + (down,) * len(POWERS)):
                power = POWERS[i % len(POWERS)]
                sums[i] = min(1e200, (1.0 + sums[i]) * power * p ** (power - 1))
            evidence = sum(sums) / len(sums)
            scores[row] = min(1.0, math.log1p(evidence) / math.log(AVERAGE_RUN_ROWS))
            if evidence > AVERAGE_RUN_ROWS:
                changes[row] = 1.0
            if changes[row] or len(ordered) >= ROWS_MAX:
                ordered, sums = array("d"), [0.0] * len(sums)
        return State(ordered, tuple(sums)), Found(scores, changes)


DETECTOR = EDetector()
