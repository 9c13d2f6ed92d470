"""Scatter between windows against plain loops, and what bursts of one and of two windows do to it."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from analyzers.scatter import CHANCE, PRIOR, STEPS_ENOUGH, Scatter


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
    by_windows = mean_half_square(zs) - CHANCE * math.sqrt(1.5 / 40)
    by_pairs = mean_half_square(pairs) - CHANCE * math.sqrt(1.5 / 19)
    assert after(zs).variance() == pytest.approx(by_windows)
    assert after(zs).variance_of_pairs() == pytest.approx(by_pairs)


def test_few_windows_are_mixed_with_what_is_expected() -> None:
    assert (
        Scatter().variance(3.0)
        == after([5.0]).variance(3.0)
        == pytest.approx(3 * (1 - CHANCE * math.sqrt(1.5 / PRIOR)))
    )
    one = (16 + 2 * PRIOR) / (2 * (1 + PRIOR)) - CHANCE * math.sqrt(1.5 / (1 + PRIOR))
    assert after([0.0, 4.0]).variance() == pytest.approx(one)
    calm = after([1.0] * (STEPS_ENOUGH + 1))  # five pairs are four steps
    assert calm.variance_of_pairs() == pytest.approx(
        2 * PRIOR / (2 * (4 + PRIOR)) - CHANCE * math.sqrt(1.5 / (4 + PRIOR))
    )
    assert after([1.0] * (2 * STEPS_ENOUGH + 2)).variance_of_pairs() < 0.0


def test_chance_stays_near_one_and_bursts_do_not() -> None:
    rng = np.random.default_rng(2)
    chance = [after(rng.normal(0, 1, 60).tolist()) for _ in range(300)]
    found = [max(scatter.variance(), scatter.variance_of_pairs()) for scatter in chance]
    assert 0.7 < float(np.median(found)) < 1.0  # so that chance alone costs nothing
    assert sum(variance > 1.4 for variance in found) < 30
    single, double = np.zeros(60), np.zeros(60)
    single[[15, 40]] = 8.0
    double[[14, 15, 42, 43]] = 8.0
    assert after(single.tolist()).variance() > 2
    assert after(double.tolist()).variance_of_pairs() > 1.9 * mean_half_square(double.tolist()) > 2


def test_a_slow_drift_is_no_scatter() -> None:
    assert after([i / 10 for i in range(100)]).variance() < 0.1
