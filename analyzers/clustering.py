"""A probe: does the spec's `randomization: request` hold? (STATISTICS section 2: the unit must be respected)

Where each request draws its arm by itself, the candidate's requests of a unit bucket are a random part of the bucket's
requests, whatever the units do: per window R^j = Nc^j - N^j nc/n has variance N^j nc nb / n^2. Where units keep to one
arm the R^j of a bucket add up with one sign, and

    phi = B/(B-1) sum_j (sum_t R^j)^2 / sum_t nc nb / n

is the number of requests that stick together, squared mean over mean, instead of 1. It is found from events that carry
`unit_id`; those that do not are no evidence either way. Under the null (B - 1) phi is about chi-square; the limit of
`DEVIATIONS` standard deviations has a chance of some 1e-6 at one look, so that a thousand looks stay below 1e-3.
"""

from __future__ import annotations

import math
from dataclasses import field

import numpy as np
import numpy.typing as npt

from analyzers.arm import PairWindow
from analyzers.kernels import evidence_loops
from schemas.delta import UNIT_BUCKETS
from schemas.frozen import frozen

Floats = npt.NDArray[np.float64]
DEVIATIONS = 7.0
CANDIDATES_MIN = 500.0
"""Expected candidate requests (times control's share) before the probe speaks."""
EFFECTIVE_MIN = 40.0
"""Buckets that requests must be spread over."""
_BESSEL = UNIT_BUCKETS / (UNIT_BUCKETS - 1)
_NONE: Floats = np.zeros(UNIT_BUCKETS)


@frozen(eq=False)
class Clustering:
    """Sums over windows: `offset` of R^j and `rows` of N^j, float64 (128,); `variance` of nc nb / n."""

    offset: Floats = field(default_factory=lambda: _NONE)
    rows: Floats = field(default_factory=lambda: _NONE)
    variance: float = 0.0

    def add(self, pair: PairWindow) -> Clustering:
        """One window more; steady or not, since each is compared with its own share."""
        if not (pair.candidate.with_unit and pair.control.with_unit):
            return self
        offset, rows, variance = evidence_loops().clustered(
            self.offset, self.rows, pair.candidate.unit_rows(), pair.control.unit_rows()
        )
        return Clustering(offset, rows, self.variance + variance)

    def phi(self) -> float:
        """How many requests stick together; 1 where they are independent."""
        return _BESSEL * float(self.offset @ self.offset) / self.variance if self.variance > 0 else 1.0

    def fault(self) -> str | None:
        """The sentence that makes an experiment INVALID that claims `randomization: request`, or None."""
        if self.variance < CANDIDATES_MIN:
            return None
        effective = float(self.rows.sum()) ** 2 / float(self.rows @ self.rows)
        phi = self.phi()
        if effective < EFFECTIVE_MIN or phi < 1 + DEVIATIONS * math.sqrt(2 / (effective - 1)):
            return None
        return (
            f"requests of one unit keep to one arm (over units they scatter {phi:.2g} times as much as single requests "
            "would), but the spec says randomization: request, for which each request draws its arm by itself: say "
            "randomization: user (or session, shard), or the promises do not hold"
        )
