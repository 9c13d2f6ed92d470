"""apdex: how content users are with response times (Apdex 1.1): 1 up to the target, half up to four times it, else nothing.

Derived from the latency histogram: a request scores its discontent, 0, 1/2 or 1, so that section 1 of STATISTICS
applies as it stands. A bin counts by its midpoint: the target is met to within 0.6 %.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzers.arm import DURATION, ArmWindow
from analyzers.dispersion import Buckets, bucket_sums
from analyzers.histogram import midpoint, quarter_midpoint
from analyzers.share_sli import ShareSli
from analyzers.sli import Plan
from schemas.delta import QUARTERS
from schemas.spec import SliSpec

Floats = npt.NDArray[np.float64]
TOLERATED = 4.0
"""Times the target up to which a user is half content."""


class Apdex(ShareSli):
    """The SLI; values between 0 (nobody is content) and 1."""

    type = "apdex"
    usual = 0.1

    def scale(self, sli: SliSpec, plan: Plan) -> tuple[float, float]:
        """Content is 1 - discontent."""
        return 1.0, -1.0

    def detail(self, sli: SliSpec) -> float:
        """The target in microseconds."""
        return float(sli.target or 0)

    def score(self, arm: ArmWindow, detail: float) -> tuple[float, float]:
        """Requests with a duration and their discontent."""
        counts = arm.measure(DURATION).histogram
        return float(counts.counts.sum()), float(discontent(midpoint(counts.keys), detail) @ counts.counts)

    def buckets(self, arm: ArmWindow, detail: float) -> Buckets:
        """The same per unit bucket, by quarter octaves."""
        joint = arm.measure(DURATION).joint
        score = discontent(quarter_midpoint(joint.keys % QUARTERS), detail) * joint.counts
        bucket = joint.keys // QUARTERS
        return Buckets(bucket_sums(bucket, joint.counts), bucket_sums(bucket, score))

    def show(self, sli: SliSpec, value: float, margin: bool = False) -> str:
        """A number between 0 and 1, a margin in percentage points of it."""
        return f"{100 * value:.3g} pp" if margin else f"{value:.3f}"


def discontent(durations: Floats, target: float) -> Floats:
    """Scores of durations, float64 (n,).

    >>> discontent(np.array([90.0, 100.0, 101.0, 400.0, 401.0]), 100.0).tolist()
    [0.0, 0.0, 0.5, 0.5, 1.0]
    """
    return (durations > target) * 0.5 + (durations > TOLERATED * target) * 0.5


SLI = Apdex()
