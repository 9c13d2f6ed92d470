"""The default at what it is for: little noise in calm series, quick when they change."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.analyzers.detectors.test_conformance import found

MINUTES_OF_A_DAY = 1440


def changes(rows: object) -> list[int]:
    return [int(i) for i in np.flatnonzero(np.array(found("ensemble", list(np.asarray(rows, float))).changes))]


def test_stationary_noise_has_less_than_one_false_change_in_10_000_points() -> None:
    rng = np.random.default_rng(1)
    series = [rng.normal(size=50_000), rng.lognormal(size=50_000), rng.standard_t(3, size=50_000)]
    assert sum(len(changes(each)) for each in series) < 15


def test_a_daily_series_has_less_than_one_false_change_in_1000_points() -> None:
    rng = np.random.default_rng(2)
    minutes = np.arange(20 * MINUTES_OF_A_DAY)
    for size in (3.0, 30.0):
        assert (
            len(changes(size * np.sin(2 * math.pi * minutes / MINUTES_OF_A_DAY) + rng.normal(size=len(minutes)))) < 28
        )


@pytest.mark.parametrize("shift", [3.0, -3.0])
def test_three_sigma_are_found_within_eight_points(shift: float) -> None:
    rng = np.random.default_rng(3)
    delays: list[int] = []
    for _ in range(40):
        told = [
            at for at in changes(rng.normal(size=1100) + np.where(np.arange(1100) >= 1000, shift, 0.0)) if at >= 1000
        ]
        delays.append(told[0] - 999 if told else 100)
    assert sorted(delays)[36] <= 8
    assert np.median(delays) <= 5


def test_one_spike_is_an_anomaly_and_no_change() -> None:
    rows = np.random.default_rng(4).normal(size=600)
    rows[500] = 40.0
    answer = found("ensemble", list(rows))
    assert answer.scores[500] > 0.5
    assert sum(answer.changes) == 0


def test_a_step_of_a_constant_series_is_found() -> None:
    assert changes([5.0] * 200 + [6.0] * 20)[0] in range(200, 208)
