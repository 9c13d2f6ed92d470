"""Sample ratio: does the traffic split as configured? (STATISTICS section 4)

Per step and leaving out its first window (balancers need a moment), with x of n requests at the candidate,
share rho configured and a tolerance tl = 5 %:

    ln e = lnB(50 rho + x, 50 (1-rho) + n - x) - lnB(50 rho, 50 (1-rho)) - [x ln p* + (n-x) ln(1-p*)]

with p* the share within tolerance that explains the counts best: a beta mixture (Robbins 1970; Lindon, Malek
2022 for sample ratios) against the worst case of a composite null. Exact rho is not a useful null: balancers
miss it by a little, and an exact test always fires in the end. `INVALID` when e / number of steps >= 1000, at
any time.
"""

from __future__ import annotations

import math

from analyzers.arm import PairWindow
from analyzers.dispersion import ShareClumps
from schemas.frozen import frozen

TOLERANCE = 0.05
PRIOR = 50.0
"""Requests that the mixture's prior is worth."""
LOG_LIMIT = math.log(1000)
EFFECTIVE_BUCKETS_MIN = 40.0


@frozen()
class SampleRatio:
    """The gate's state: the running step's counts and how far any step's evidence went.

    `x` and `n` are requests of the candidate and of both arms, in units of the largest sampling weight of
    their window.
    """

    units: bool
    steps: int
    step: int = -1
    share: float = 0.0
    x: float = 0.0
    n: float = 0.0
    clumps: ShareClumps | None = None

    def add(self, pair: PairWindow) -> SampleRatio:
        """One window more, in time order; unsteady windows and unknown weights are passed over."""
        share = pair.share
        if share is None or not pair.steady or not 0 < share < 1:
            return self
        if pair.step != self.step or share != self.share:
            return SampleRatio(self.units, self.steps, pair.step, share)  # and leave this first window out
        x, y = traffic(pair)
        if x + y <= 0:
            return self
        clumps = self.clumps
        if self.units:
            clumps = share_clumps(clumps or ShareClumps.zero(), pair, share)
        return SampleRatio(self.units, self.steps, self.step, self.share, self.x + x, self.n + x + y, clumps)

    def log_e(self) -> float:
        """ln e of the running step."""
        if not self.n:
            return 0.0
        if not self.units:
            return log_evidence(self.x, self.n, self.share)
        clumps = self.clumps or ShareClumps.zero()
        if clumps.effective_buckets() < EFFECTIVE_BUCKETS_MIN:
            return 0.0
        return log_evidence(self.x, self.n, self.share) / clumps.phi()

    def mismatch(self) -> str | None:
        """The sentence that makes an experiment INVALID, or None."""
        if self.log_e() - math.log(self.steps) < LOG_LIMIT:
            return None
        return (
            f"the candidate got {_percent(self.x / self.n)} of both arms' traffic where "
            f"{_percent(self.share)} is configured ({self.x:.0f} of {self.n:.0f} requests "
            f"in step {self.step + 1}): "
            "the split is not what the experiment assumes"
        )


def log_evidence(x: float, n: float, share: float) -> float:
    """ln e of x requests out of n against a share within tolerance of `share`, 0 < share < 1.

    The tolerance is taken on the smaller arm, so that a share near 1 has a sensible one too.
    """
    a, b = PRIOR * share, PRIOR * (1 - share)
    low = max(share * (1 - TOLERANCE), 1 - (1 - share) * (1 + TOLERANCE))
    high = min(share * (1 + TOLERANCE), 1 - (1 - share) * (1 - TOLERANCE))
    p = min(max(x / n, low), high)
    null = x * math.log(p) + (n - x) * math.log1p(-p)
    return _log_beta(a + x, b + n - x) - _log_beta(a, b) - null


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def traffic(pair: PairWindow) -> tuple[float, float]:
    """Requests of candidate and control in units of the largest sampling weight of the window.

    Rows kept with probability s stand for 1/s requests; scaled by the largest weight every row scores at most
    1, which is what sections 1 and 4 allow.
    """
    largest = max(pair.candidate.weight_max, pair.control.weight_max)
    if not largest:
        return 0.0, 0.0
    return pair.candidate.weight / largest, pair.control.weight / largest


def share_clumps(clumps: ShareClumps, pair: PairWindow, share: float) -> ShareClumps:
    """`clumps` with the window's requests per unit bucket, scaled as in `traffic`."""
    x, y = traffic(pair)
    parts = (x / max(pair.candidate.rows, 1), y / max(pair.control.rows, 1))
    return clumps.add(pair.candidate.unit_rows(), pair.control.unit_rows(), share, parts)


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"
