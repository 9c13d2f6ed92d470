"""Intervals against bisection over the windows themselves."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from analyzers.counts import ABOVE, BELOW, Counts
from analyzers.interval import RATIOS, of_differences, of_ratios, root
from tests.analyzers.increments import increments

Window = tuple[int, int, int, int]
ALPHA = 0.01


def windows(ratio: float, seed: int = 0, base: float = 0.02) -> list[Window]:
    rng = np.random.default_rng(seed)
    out: list[Window] = []
    for nc, nb in [(50, 950)] * 20 + [(500, 500)] * 20:
        out.append((nc, nb, int(rng.binomial(nc, base * ratio)), int(rng.binomial(nb, base))))
    return out


def log_e(items: list[Window], bets: slice, r0: float, d: float, phi: float) -> float:
    total = sum(increments(*item, r0, d)[0, bets] for item in items) / phi
    return float(np.logaddexp.reduce(total)) - math.log(8)


def bisect(rejected: Callable[[float], bool], inside: float, outside: float) -> float:
    for _ in range(60):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if rejected(middle) else (middle, outside)
    return inside


def ratios(items: list[Window]) -> Counts:
    counts = Counts.zero(1 + len(RATIOS), 0)
    for item in items:
        counts = counts.add(*item, np.zeros(0, np.bool_), np.append(1.1, RATIOS))
    return counts


def differences(items: list[Window], d: float) -> Counts:
    counts = Counts.zero(1, 0)
    for item in items:
        counts = counts.add(*item, np.zeros(0, np.bool_), 1.0, d)
    return counts


@pytest.mark.parametrize("phi", [1.0, 2.5])
@pytest.mark.parametrize("ratio", [0.4, 1.0, 3.0])
def test_relative_bounds_are_those_of_bisection(ratio: float, phi: float) -> None:
    items, limit = windows(ratio), math.log(2 / ALPHA)
    lower, upper = of_ratios(ratios(items), phi, ALPHA)
    assert lower is not None
    assert upper is not None
    assert lower < ratio - 1 < upper
    exact_low = bisect(lambda m: log_e(items, ABOVE, m, 0.0, phi) >= limit, ratio, 0.01)
    exact_high = bisect(lambda m: log_e(items, BELOW, m, 0.0, phi) >= limit, ratio, 50.0)
    assert 1 + lower == pytest.approx(exact_low, rel=0.02)
    assert 1 + upper == pytest.approx(exact_high, rel=0.02)


@pytest.mark.parametrize("phi", [1.0, 2.5])
@pytest.mark.parametrize("ratio", [0.4, 1.0, 3.0])
def test_absolute_bounds_are_those_of_bisection(ratio: float, phi: float) -> None:
    items, limit = windows(ratio), math.log(2 / ALPHA)
    lower, upper = of_differences(differences(items, 0.005), 0.005, phi, ALPHA)
    assert lower is not None
    assert upper is not None
    effect = 0.02 * (ratio - 1)
    assert lower < effect < upper
    exact_low = bisect(lambda m: log_e(items, ABOVE, 1.0, m, phi) >= limit, effect, -1.0)
    exact_high = bisect(lambda m: log_e(items, BELOW, 1.0, m, phi) >= limit, effect, 1.0)
    width = exact_high - exact_low
    assert lower == pytest.approx(exact_low, abs=0.04 * width)
    assert upper == pytest.approx(exact_high, abs=0.04 * width)


def test_without_evidence_nothing_is_excluded() -> None:
    assert of_ratios(ratios([]), 1.0, ALPHA) == (-1.0, None)
    assert of_differences(differences([], 0.0), 0.0, 1.0, ALPHA) == (-1.0, 1.0)


def test_an_effect_beyond_all_margins_ends_at_the_last() -> None:
    lower, upper = of_ratios(ratios([(1000, 1000, 900, 0)] * 5), 1.0, ALPHA)
    assert lower == pytest.approx(RATIOS[-1] - 1)
    assert upper is None


def test_coverage_at_all_times_together() -> None:
    """The true effect leaves the interval in at most 1 % of runs, ever; 200 runs, 40 looks each."""
    missed = 0
    for seed in range(200):
        counts = Counts.zero(1, 0)
        left = False
        for nc, nb, ec, eb in windows(1.5, seed):
            counts = counts.add(nc, nb, ec, eb, np.zeros(0, np.bool_))
            lower, upper = of_differences(counts, 0.0, 1.0, ALPHA)
            left = left or not (lower or -1) <= 0.01 <= (upper or 1)
        missed += left
    assert missed <= 7  # binomial(200, 0.01): more than 7 has a chance of 1e-3


def test_root() -> None:
    assert root(lambda x: x * x, 9.0) == pytest.approx(3)
    assert root(lambda x: 0.0, 1.0) is None
