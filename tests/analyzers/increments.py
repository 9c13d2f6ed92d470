"""Evidence of a single window, as `analyzers.counts` finds it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzers.bursts import ALL, Kept
from analyzers.counts import Counts

Floats = npt.NDArray[np.float64]


def increments(
    nc: float,
    nb: float,
    ec: float | Floats,
    eb: float | Floats,
    r0: float | Floats = 1.0,
    d: float = 0.0,
    kept: Kept = ALL,
) -> Floats:
    """l(r) of it, float64 (m, 16)."""
    rows = max(np.size(ec), np.size(eb), np.size(r0))
    return Counts.zero(rows, 0).add(nc, nb, ec, eb, np.zeros(0, np.bool_), r0, d, kept).sums
