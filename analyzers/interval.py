"""Intervals: the margins not yet rejected (STATISTICS section 5), by inverting the two e-values at alpha/2
each.

A margin m is too low once HARM at m ("the effect is above m") reaches 2/alpha, too high once SAFETY at m
does; what remains is a confidence sequence, valid at all times together (Howard et al. 2021).

Memory is bounded and nothing is recomputed from windows, because the sums of section 1 are kept in a form
that knows all margins: for a relative margin one row of 16 sums per ratio of the fixed grid `RATIOS`; for an
absolute margin d one row is enough, as l is linear in d (`analyzers.counts.tilts`), so that every d can be
asked about exactly. Between two margins sqrt(ln e) is taken as linear: ln e is nearly a square in the margin
near zero and flatter far out, so that its root is concave and the line errs to the wide side.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from analyzers.counts import EVEN, NO_TILT, Counts
from analyzers.kernels import evidence_loops

Floats = npt.NDArray[np.float64]
Interval = tuple[float | None, float | None]

_HALF = (1.02, 1.05, 1.1, 1.15, 1.2, 1.3, 1.4, 1.5, 1.75, 2, 2.5, 3, 4, 5, 7, 10, 15, 20, 30, 50, 100)
RATIOS: Floats = np.array([1 / r for r in reversed(_HALF)] + [1.0] + list(_HALF), np.float64)
"""Relative margins r0 kept for the interval."""
_LOG_RATIOS: Floats = np.log(RATIOS)
_STEPS: list[float] = [1.5**k * 1e-5 for k in range(29)]
DIFFERENCES: Floats = np.array([-1.0, *(-s for s in reversed(_STEPS)), 0.0, *_STEPS, 1.0], np.float64)
"""Absolute margins d asked about, in events per request."""


def of_ratios(counts: Counts, phi: float, alpha: float) -> Interval:
    """Bounds of the relative effect (0.1 is +10 %) where the last rows of `counts` are the margins
    `RATIOS`."""
    lower, upper = between(_LOG_RATIOS, counts.sums[-len(RATIOS) :], phi, alpha)
    return -1.0 if lower is None else math.expm1(lower), None if upper is None else math.expm1(upper)


def of_differences(counts: Counts, d: float, phi: float, alpha: float) -> Interval:
    """Bounds of the absolute effect where the one row of `counts` has margin `d`."""
    lower, upper = between(DIFFERENCES, counts.sums, phi, alpha, counts.tilt, d)
    return -1.0 if lower is None else lower, 1.0 if upper is None else upper


def between(
    margins: Floats, sums: Floats, phi: float, alpha: float, tilt: Floats = NO_TILT, d: float = 0.0
) -> Interval:  # fmt: skip
    """Ends of the margins, float64 (m,) ascending, that neither e-value rejects; None where an end is open.

    `sums` float64 (m, 16) are the bets' sums at each margin; or (1, 16) at margin `d`, with their `tilt`. HARM falls and
    SAFETY rises with the margin, bet by bet, so each end is found by bisection.
    """
    lower, upper = evidence_loops().bounds(margins, sums, tilt, d, phi, EVEN, math.log(2 / alpha))
    if lower > upper:
        return upper, lower  # both refuse everything: the effect has changed meanwhile
    return None if math.isnan(lower) else lower, None if math.isnan(upper) else upper


def root(log_e: Callable[[float], float], limit: float, start: float = 1e-3, largest: float = 1e9) -> float | None:
    """Where a rising log_e(x), x > 0, reaches the limit, by doubling and bisection; None beyond `largest`."""
    high = start
    while log_e(high) < limit:
        high *= 2
        if high > largest:
            return None
    low = 0.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if log_e(middle) >= limit else (middle, high)
    return high
