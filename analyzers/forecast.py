"""How long it takes (STATISTICS section 6): requests and seconds until an SLI can be decided.

The e-value of a true state of the world grows by its expected ln per request, so what is still missing
divided by that growth is a forecast of the median; nine runs in ten end within `NINE_IN_TEN` times as much.
For SAFETY the release is taken to be as good as control, for HARM the ratio above the limit is given.
"""

from __future__ import annotations

import math
from functools import lru_cache

from analyzers.counts import ABOVE, BELOW, growth
from analyzers.interval import root
from analyzers.means import log_evidence

NINE_IN_TEN = 14 / 6
MIXED = 1.4
"""What mixing over bets costs HARM, as ln e."""


def safety_requests(share: float, p: float, r0: float, d: float, beta: float, phi: float = 1.0) -> float | None:
    """Median requests of both arms together until SAFETY, for a release as good as control; None if never.

    Section 6: about 2 * 6 (2p + d)/d^2 at beta .05 and half the traffic each.

    >>> round(safety_requests(0.5, 0.005, 1.0, 0.001, 0.05), -3)
    132000.0
    """
    rate = growth(share, p, p, r0, d, BELOW)
    return phi * math.log(1 / beta) / rate if rate > 0 else None


def harm_requests(
    share: float, p: float, r0: float, d: float, ratio: float, alpha: float, slis: int = 1, phi: float = 1.0
) -> float | None:
    """Median requests of both arms together until HARM, for a candidate `ratio` times above its limit.

    Section 6: errors over both arms 6/KL at alpha .01, where 6 is ln(1/alpha) and what mixing over bets
    costs.
    """
    rate = growth(share, ratio * (r0 * p + d), p, r0, d, ABOVE)
    return phi * (math.log(slis / alpha) + MIXED) / rate if rate > 0 else None


def mean_requests(share: float, spread: float, tolerance: float, away: float, limit: float) -> float | None:
    """Median requests of both arms together until a mean's ln e reaches `limit`, where the true difference lies `away`,
    relative to control, from the border of what is allowed; `spread` is the coefficient of variation."""
    wanted = _information(away, limit) if away > 0 else None
    return None if wanted is None else wanted * (1 + tolerance) ** 2 * spread**2 / (share * (1 - share))


def tail(z: float) -> float:
    """What lies beyond z standard deviations of a normal distribution."""
    return math.erfc(z / math.sqrt(2)) / 2


def slow_shares(share: float, p: float, spread: float, apart: float) -> tuple[float, float]:
    """Shares of the candidate's and of control's requests beyond a pooled p-quantile, durations log-normal with that
    coefficient of variation and the candidate's ln `apart` lower."""
    sigma = math.sqrt(math.log1p(spread**2))
    low, high = -40.0, 40.0
    for _ in range(60):
        z = (low + high) / 2
        beyond = share * tail(z + apart / sigma) + (1 - share) * tail(z)
        low, high = (z, high) if beyond > 1 - p else (low, z)
    return tail(low + apart / sigma), tail(low)


def missing(log_e: float, beta: float) -> float:
    """ln e still missing for SAFETY."""
    return max(0.0, math.log(1 / beta) - log_e)


def mean_factor(tolerance: float, information: float, beta: float) -> float | None:
    """By what factor a mean's information must still grow for SAFETY if the release is as good as control."""
    if information <= 0 or tolerance <= 0:
        return None
    wanted = mean_information(tolerance, beta)
    return None if wanted is None else max(1.0, wanted / information)


def mean_information(tolerance: float, beta: float) -> float | None:
    """The information (1 / variance of the relative difference) that SAFETY takes of an equal candidate."""
    return _information(tolerance, math.log(1 / beta))


@lru_cache(maxsize=1024)
def _information(away: float, limit: float) -> float | None:
    return root(lambda i: log_evidence(away, i), limit, start=1.0, largest=1e18)
