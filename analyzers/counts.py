"""Evidence from counts: errors, slow requests, traffic (STATISTICS section 1). Exact for independent events.

Theory of operation. In one window the candidate had `nc` requests of which `ec` failed, control `nb` and
`eb`. The limit is ``p_c <= r0 p_b + d``. For a bet r, with a and b fixed by the requests alone,

    a = r (r0 nc + nb) / (r r0 nc + nb)        b = (r0 nc + nb) / (r r0 nc + nb)
    l(r) = ec ln a + eb ln b - d nc (a - 1)

has E[exp l] <= 1 under the null ``p_c <= r0 p_b + d`` for r > 1 (HARM) and ``p_c >= r0 p_b + d`` for r < 1
(SAFETY), whatever p_b is: b - 1 = -r0 (nc/nb)(a - 1), so the exponent of E[a^ec b^eb] <= exp(nc p_c (a-1) +
nb p_b (b-1)) is nc (a-1)(p_c - r0 p_b) <= d nc (a-1). Products over windows stay e-values, and so does their
weighted mean over a fixed grid of bets (the method of mixtures: Robbins 1970; Howard, Ramdas, McAuliffe, Sekhon 2021).
An e-value passes 1/alpha, ever, with probability at most alpha (Ville 1939). The grid's bets differ by
factors of some 1.5, so that one of them is near the best whatever the effect.

State: sums of l over windows. Sums add, so `Counts` is a commutative monoid; rates are never pooled over
time.
"""

from __future__ import annotations

import math
from typing import Self

import numpy as np
import numpy.typing as npt

from analyzers.bursts import ALL, Kept
from analyzers.kernels import evidence_loops
from schemas.frozen import frozen

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

GRID: Floats = np.array([1.1, 1.25, 1.5, 2, 3, 5, 10, 30, 0.97, 0.93, 0.87, 0.75, 0.6, 0.4, 0.15, 0.02], np.float64)
"""The bets: eight for HARM, eight for SAFETY."""
BETS = 8
ABOVE = slice(0, BETS)
"""Bets that the candidate's rate is above the limit."""
BELOW = slice(BETS, 2 * BETS)
"""Bets that it is below."""
WEIGHTS = (0.06, 0.12, 0.2, 0.2, 0.18, 0.14, 0.08, 0.02)
"""Of the bets above the limit: more on what releases do than on what they hardly ever do. They add up to 1."""
FROM_START = 0.75
"""Weight of the evidence from the start; the later start points share the rest."""
_LOG_FROM_START, _LOG_LATER = math.log(2 * FROM_START), math.log(2 * (1 - FROM_START))
_LOG_WEIGHTS: Floats = np.log(np.array(WEIGHTS) * BETS)
_LOG_GRID: Floats = np.log(GRID)
EVEN: Floats = np.zeros(BETS)
"""Logs of weights that are all the same."""
NO_TILT: Floats = np.zeros(2 * BETS)
ONE: Floats = np.ones(1)
"""The relative margin of equal rates."""
_BETS: list[tuple[float, float]] = list(zip(GRID.tolist(), _LOG_GRID.tolist(), strict=True))


def log_control_factors(nc: float, nb: float, r0: float | Floats = 1.0) -> Floats:
    """ln b, float64 (m, 16)."""
    return evidence_loops().control_factors(float(nc), float(nb), _row(r0), GRID)


def growth(share: float, p_c: float, p_b: float, r0: float, d: float, bets: slice) -> float:
    """Expected l per request (of both arms) of the best bet where the arms fail at `p_c`, `p_b`.

    `share` in (0, 1) is the candidate's. Plain arithmetic: numpy costs more for eight numbers.
    """
    exposed, nb = r0 * share, 1 - share
    lost_c, lost = share * p_c, share * p_c + nb * p_b
    found: list[float] = []
    for r, log_r in _BETS[bets]:
        b = (exposed + nb) / (r * exposed + nb)
        found.append(lost_c * log_r + lost * math.log(b) - d * share * (r * b - 1))
    return max(found)


def _row(values: float | Floats) -> Floats:
    return values if isinstance(values, np.ndarray) else np.array([values], np.float64)


@frozen(eq=False)
class Counts:
    """Sums of l over windows.

    `sums` float64 (m, 16), one row per margin; the first is the one asked about. `tilt` float64 (16,): -dl/dd, what one
    unit more of an absolute margin takes from each l(r) of the first. `later` float64 (s, 8): the sums of the first margin's
    HARM bets from each later start point on, `begun` bool (s,).
    """

    sums: Floats
    tilt: Floats
    later: Floats
    begun: Bools

    @classmethod
    def zero(cls, margins: int, starts: int) -> Self:
        """The identity, for that many margins and later start points."""
        return cls(
            np.zeros((margins, 2 * BETS)),
            np.zeros(2 * BETS),
            np.zeros((starts, BETS)),
            np.zeros(starts, np.bool_),
        )

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.sums + other.sums, self.tilt + other.tilt, self.later + other.later, self.begun | other.begun
        )

    def add(
        self, nc: float, nb: float, ec: float | Floats, eb: float | Floats, started: Bools, r0: float | Floats = 1.0,
        d: float = 0.0, kept: Kept = ALL,
    ) -> Counts:  # fmt: skip
        """One window more, and the start points that lie before it; bets above the limit mean HARM.

        `nc`, `nb` > 0 are requests (or exposures), `ec`, `eb` events (or sums of scores in [0, 1]), `r0`, `d` the
        margin; `ec`, `eb`, `r0` are numbers or float64 (m,), `r0` a number where there is a `d`. `kept`: what
        `analyzers.bursts` believes of `ec` where r > 1, and of `eb` where r < 1; less than all lowers l.
        """
        return Counts(*evidence_loops().add(
            self.sums, self.tilt, self.later, self.begun, started, float(nc), float(nb), _row(ec), _row(eb), _row(r0), d,
            kept.candidate, kept.control, GRID, _LOG_GRID,
        ))  # fmt: skip

    def add_betted(
        self, ec: float, eb: float, log_b: Floats, started: Bools, harm: slice = ABOVE, kept: Kept = ALL
    ) -> Counts:
        """The same with known `log_control_factors`, and the bets that mean HARM; tells no `tilt`."""
        sums, later, begun = evidence_loops().add_betted(
            self.sums, self.later, self.begun, started, _row(ec), _row(eb), log_b, _LOG_GRID, kept.candidate, kept.control,
            harm.start, 0.0, NO_TILT,
        )  # fmt: skip
        return Counts(sums, self.tilt, later, begun)

    def log_e(self, bets: slice, phi: float = 1.0, row: int = 0) -> float:
        """ln e of one side at one margin; `phi` >= 1 is the design effect (section 2)."""
        return evidence_loops().log_mean(self.sums, row, bets.start, phi, _weights(bets), NO_TILT, 0.0)

    def log_harm(self, phi: float = 1.0, harm: slice = ABOVE) -> float:
        """ln e of HARM over all start points: `FROM_START` of the weight on the first, the rest shared evenly.

        An e-value that has not started is 1. The mean of e-values is an e-value under any dependence (Vovk,
        Wang 2021).
        """
        return evidence_loops().log_harm(
            self.sums, self.later, harm.start, phi, _weights(harm), NO_TILT, _LOG_FROM_START, _LOG_LATER
        )


def _weights(bets: slice) -> Floats:
    return _LOG_WEIGHTS if bets == ABOVE else EVEN


def mean_of_logs(logs: list[float]) -> float:
    """ln of the mean of e-values given by their logs."""
    top = max(logs)
    return top + math.log(math.fsum([math.exp(x - top) for x in logs]) / len(logs))
