"""A change of level: where two levels explain a series best, and by how much it moved."""

from __future__ import annotations

import math
from array import array

import numpy as np

from schemas.change import ChangeKind
from schemas.frozen import frozen
from schemas.spec import SliSpec

LIKELY = 1.92
"""Half of the 95 % point of chi-square with one degree: begins whose log-likelihood is within are in the interval."""


@frozen()
class Change:
    """When an SLI changed (estimate, and where it may lie, microseconds), and its mean before and after."""

    sli: str
    begun_us: int
    earliest_us: int
    latest_us: int
    before: float
    after: float
    kind: ChangeKind = "change"


def located(sli: SliSpec, starts: tuple[int, ...], values: array[float]) -> Change | None:
    """Where two levels explain the latest values best, by least squares; None where there are too few."""
    seen = [(start, value) for start, value in zip(starts, values, strict=True) if math.isfinite(value)]
    if len(seen) < 3:
        return None
    level = np.array([value for _, value in seen])
    n, sums, squares = len(level), np.cumsum(level), np.cumsum(level**2)
    left = np.arange(1, n)
    apart = squares[-1] - sums[:-1] ** 2 / left - (sums[-1] - sums[:-1]) ** 2 / (n - left)
    apart = np.maximum(apart, 1e-12 * max(float(squares[-1]), 1e-300))
    best = int(np.argmin(apart))
    likely = np.flatnonzero(n / 2 * np.log(apart / apart[best]) <= LIKELY) + 1
    before, after = float(level[: best + 1].mean()), float(level[best + 1 :].mean())
    return Change(sli.name, seen[best + 1][0], seen[int(likely[0])][0], seen[int(likely[-1])][0], before, after)


def worse(sli: SliSpec, change: Change) -> bool:
    """Whether it is for the worse."""
    return change.after > change.before if sli.limit == "max_increase" else change.after < change.before


def within(sli: SliSpec, value: float, level: float) -> bool:
    """Whether a value is no worse than a level by more than the SLI allows."""
    return (value - level if sli.limit == "max_increase" else level - value) <= allowed(sli, level)


def allowed(sli: SliSpec, level: float) -> float:
    """How far from a level the SLI may be."""
    return sli.tolerance.value * (abs(level) if sli.tolerance.kind == "relative" else 1.0)
