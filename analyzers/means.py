"""Evidence from means: latency, CPU, memory (STATISTICS section 3). Asymptotic.

Per window the relative difference of winsorised means ``dlt = mc/mb - (1 + tol)`` with weight ``h = nc nb/(nc
+ nb)``; D is their weighted mean, I its information (one over its variance), whichever is least of three
estimates: naive, over unit buckets, over time. Then the one-sided normal mixture (Robbins 1970; Howard et al.
2021, proposition 6):

    ln e(D) = ln 2 + ln(k/(I+k))/2 + D^2 I^2 / (2(I+k)) + ln Phi(D I / sqrt(I+k)),    k = 1/tau^2

HARM is e(D), SAFETY e(-D). The candidate's variance is floored at control's: a lucky sample without its tail
looks both low and precise.
"""

from __future__ import annotations

import math
from dataclasses import field

import numpy as np
import numpy.typing as npt

from analyzers.bursts import Bursts
from analyzers.kernels import evidence_loops
from analyzers.scatter import Scatter
from schemas.delta import UNIT_BUCKETS
from schemas.frozen import frozen

Floats = npt.NDArray[np.float64]

TAU = 0.1
"""Relative effect that the mixture is tuned to."""
PRIOR_INFORMATION = 1 / TAU**2
REQUESTS_MIN = 200
"""Candidate requests before the normal approximation is used."""
BUCKETS_MIN = 32
"""Non-empty candidate buckets before the scatter between buckets is used."""
_NO_BUCKETS: Floats = np.zeros(UNIT_BUCKETS)
_BESSEL = UNIT_BUCKETS / (UNIT_BUCKETS - 1)
CV2_FLOOR = (math.log(2) / 64) ** 2 / 12
"""Squared coefficient of variation within one bin of the histogram: even constant values are known no
better."""


@frozen(eq=False)
class Sample:
    """One arm in one window: `n` values, their `mean` and `squares` = sum (x - mean)^2.

    `counts`, `sums` float64 (128,): values and their sum per unit bucket, where units are known.
    """

    n: float
    mean: float
    squares: float
    counts: Floats | None = None
    sums: Floats | None = None


@frozen(eq=False)
class Means:
    """Sums of section 3; `ratio` is 1 + tol. Not a monoid: `scatter` depends on the order of windows."""

    ratio: float
    units: bool
    s: float = 0.0
    h: float = 0.0
    h_mean_c: float = 0.0
    h_mean_b: float = 0.0
    squares_c: float = 0.0
    squares_b: float = 0.0
    free_c: float = 0.0
    free_b: float = 0.0
    h2_c: float = 0.0
    h2_b: float = 0.0
    scatter: Scatter = field(default_factory=Scatter)
    n_c: float = 0.0
    n_b: float = 0.0
    difference: Floats = field(default_factory=lambda: _NO_BUCKETS)
    control: Floats = field(default_factory=lambda: _NO_BUCKETS)
    buckets: Floats = field(default_factory=lambda: _NO_BUCKETS)
    s_harm: float = 0.0
    s_safety: float = 0.0
    bursts: Bursts = field(default_factory=Bursts)

    def add(
        self, candidate: Sample, control: Sample, shift: float = 0.0, apart: tuple[bool, bool] = (False, False)
    ) -> Means:
        """One window more; both arms have at least 2 values, control's mean is above 0.

        `shift` is an absolute margin in the measure's own unit; the relative one is then 0. `apart`: whether an instance of
        control, and one of the candidate, stands apart (`analyzers.instances`).
        """
        nc, nb, scale = candidate.n, control.n, control.mean
        h = nc * nb / (nc + nb)
        delta = (candidate.mean - shift) / scale - self.ratio
        u = delta * math.sqrt(h)
        centre, sd = self.d, self._sd(candidate, control, h)
        above, below = self.bursts.counting(apart)
        high, low = min(delta, centre + above * sd), max(delta, centre - below * sd)
        difference, control_part, buckets = self.difference, self.control, self.buckets
        if self.units and candidate.counts is not None:
            difference, control_part, buckets = evidence_loops().mean_residuals(
                difference, control_part, buckets, candidate.counts, candidate.sums, control.counts, control.sums,
                h, self.ratio, scale,
            )  # fmt: skip
        return Means(
            self.ratio, self.units, self.s + h * delta, self.h + h,
            self.h_mean_c + h * candidate.mean, self.h_mean_b + h * control.mean,
            self.squares_c + candidate.squares / scale**2, self.squares_b + control.squares / scale**2,
            self.free_c + nc - 1, self.free_b + nb - 1, self.h2_c + h * h / nc, self.h2_b + h * h / nb,
            self.scatter.add(u),
            self.n_c + nc, self.n_b + nb, difference, control_part, buckets,
            self.s_harm + h * high, self.s_safety + h * low, self.bursts.add((delta - centre) / sd),
        )  # fmt: skip

    def _sd(self, candidate: Sample, control: Sample, h: float) -> float:
        """Standard deviation of one window's delta, by the scatter within and between earlier windows."""
        scale = control.mean**2
        own = self.ratio**2 * _cv2(self.squares_b + control.squares / scale, self.free_b + control.n - 1)
        other = _cv2(self.squares_c + candidate.squares / scale, self.free_c + candidate.n - 1)
        naive = max(other, own) / candidate.n + own / control.n
        return math.sqrt(max(naive, self.scatter.variance(naive * h) / h))

    @property
    def d(self) -> float:
        """D: how far the effect is above its limit, relative to control's mean."""
        return self.s / self.h if self.h > 0 else 0.0

    @property
    def d_high(self) -> float:
        """D with the candidate's unconfirmed bursts upward cut (`analyzers.bursts`): evidence that it is above."""
        return self.s_harm / self.h if self.h > 0 else 0.0

    @property
    def d_low(self) -> float:
        """D with control's unconfirmed bursts cut: evidence that the candidate is below."""
        return self.s_safety / self.h if self.h > 0 else 0.0

    def ready(self) -> bool:
        """Whether the normal approximation may be used."""
        enough = self.n_c >= REQUESTS_MIN and self.scatter.windows > 0
        return enough and (not self.units or int(np.count_nonzero(self.buckets)) >= BUCKETS_MIN)

    def information(self) -> float:
        """I = H^2 / max(deff max(V1, V3), V2)."""
        cv2_b, cv2_c = _cv2(self.squares_b, self.free_b), _cv2(self.squares_c, self.free_c)
        own = self.ratio**2 * cv2_b
        naive = max(cv2_c, own) * self.h2_c + own * self.h2_b
        over_time = self.h * self.scatter.variance(naive / self.h)
        deff, between = 1.0, 0.0
        if self.units:
            between = _BESSEL * float(self.difference @ self.difference)
            deff = max(1.0, _BESSEL * float(self.control @ self.control) / (own * self.h2_b))
        return self.h**2 / max(deff * max(naive, over_time), between)

    def log_e(self, d: float, information: float) -> float:
        """ln e of a one-sided excess `d` at that information; 0 until `ready`."""
        return log_evidence(d, information) if self.ready() else 0.0


def _cv2(squares: float, free: float) -> float:
    """Squared coefficient of variation, no better than the histogram's bins allow."""
    return max(squares / free, CV2_FLOOR)


def log_evidence(d: float, information: float) -> float:
    """ln e(D) of the module's formula."""
    total = information + PRIOR_INFORMATION
    x = d * information / math.sqrt(total)
    return math.log(2) + math.log(PRIOR_INFORMATION / total) / 2 + x * x / 2 + log_normal_cdf(x)


def half_width(information: float, limit: float) -> float:
    """The D > 0 at which ln e(D) reaches `limit`: half an interval, as fixed point of x^2/2 = limit - the
    rest."""
    total = information + PRIOR_INFORMATION
    square = limit - math.log(2) - math.log(PRIOR_INFORMATION / total) / 2
    x = math.sqrt(2 * max(square, 0.0))
    before = 0.0
    while (
        abs(x - before) > 1e-9 * x
    ):  # contracts by the normal hazard over x, below 0.01 where e = 20 or more is asked for
        before, x = x, math.sqrt(2 * (square - log_normal_cdf(x)))
    return x * math.sqrt(total) / information


def log_normal_cdf(x: float) -> float:
    """ln Phi(x), also where Phi underflows (its asymptotic series, relative error below 1e-6 there).

    >>> round(log_normal_cdf(0.0), 6), round(log_normal_cdf(-40.0), 3)
    (-0.693147, -804.608)
    """
    if x > -30:
        return math.log(math.erfc(-x / math.sqrt(2)) / 2)
    y = 1 / (x * x)
    return -x * x / 2 - math.log(-x * math.sqrt(2 * math.pi)) + math.log1p(-y * (1 - 3 * y * (1 - 5 * y)))
