"""Scatter between windows against plain loops, and what bursts of one and of two windows do to it."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from analyzers.scatter import PRIOR, STEPS_ENOUGH, Scatter


def after(zs: list[float]) -> Scatter:
    scatter = Scatter()
    for z in zs:
        scatter = scatter.add(z)
    return scatter


def mean_half_square(zs: list[float]) -> float:
    return sum((b - a) ** 2 for a, b in pairwise(zs)) / (2 * (len(zs) - 1))


def test_it_is_von_neumanns_ratio_of_windows_or_of_pairs() -> None:
    zs = np.random.default_rng(1).normal(0, 1, 41).tolist()
    pairs = [(zs[i] + zs[i + 1]) / math.sqrt(2) for i in range(0, 40, 2)]
    assert after(zs).variance() == pytest.approx(max(mean_half_square(zs), mean_half_square(pairs)))


def test_few_windows_are_mixed_with_what_is_expected() -> None:
    assert Scatter().variance(3.0) == after([5.0]).variance(3.0) == 3.0
    assert after([0.0, 4.0]).variance() == pytest.approx((16 + 2 * PRIOR) / (2 * (1 + PRIOR)))
    calm = after([1.0] * (STEPS_ENOUGH + 1))
    assert calm.variance() == pytest.approx(2 * PRIOR / (2 * (4 + PRIOR)))  # five pairs are four steps
    assert after([1.0] * (2 * STEPS_ENOUGH + 2)).variance() == 0.0


def test_chance_stays_near_one_and_bursts_do_not() -> None:
    rng = np.random.default_rng(2)
    chance = [after(rng.normal(0, 1, 60).tolist()).variance() for _ in range(300)]
    assert 0.9 < float(np.median(chance)) < 1.3
    single, double = np.zeros(60), np.zeros(60)
    single[[15, 40]] = 8.0
    double[[14, 15, 42, 43]] = 8.0
    assert after(single.tolist()).variance() > 2
    assert after(double.tolist()).variance() > 1.9 * mean_half_square(double.tolist()) > 2


def test_a_slow_drift_is_no_scatter() -> None:
    assert after([i / 10 for i in range(100)]).variance() < 0.1
