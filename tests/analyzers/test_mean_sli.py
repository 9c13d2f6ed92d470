"""Means over windows: winsorising, waiting, directions and units."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analyzers.mean_sli import MeanState
from analyzers.sli import Plan, Reading
from analyzers.slis.latency_mean import SLI as LATENCY
from analyzers.slis.resource_mean import SLI as RESOURCE
from schemas.spec import SliSpec
from tests.analyzers.builders import MEAN, arm, pair, sli

PLAN = Plan(units=False, alpha=0.01, beta=0.05, steps=1, duration_us=10**15)


GOALS = sli("{name: goals, type: resource_mean, field: goals, max_decrease: 5%}")
FIVE_MS = sli("{name: m, type: latency_mean, max_increase: 5ms}")


def run(text: SliSpec, factor: float, shift: float = 0.0, windows: int = 30, sigma: float = 0.5) -> Reading:
    of = RESOURCE if text.type == "resource_mean" else LATENCY
    name = text.field or "duration_us"
    state = of.start(text, PLAN)
    rng = np.random.default_rng(6)
    for i in range(windows):
        c, b = rng.lognormal(10, sigma, 200) * factor + shift, rng.lognormal(10, sigma, 800)
        state = of.step(state, pair(i, arm(200, measures={name: c}), arm(800, measures={name: b}), 0.2))
    return of.read(state)


def test_equal_arms_become_safe_and_slower_ones_harm() -> None:
    equal, slow = run(sli(MEAN), 1.0), run(sli(MEAN), 1.3)
    assert (equal.log_safety or 0) > math.log(20)
    assert equal.log_harm < 0
    assert slow.log_harm > math.log(100)
    assert slow.effect == pytest.approx(0.3, abs=0.03)
    assert slow.lower is not None
    assert slow.upper is not None
    assert slow.lower < 0.3 < slow.upper
    assert slow.baseline == pytest.approx(math.exp(10 + 0.125), rel=0.02)


def test_less_is_worse_with_max_decrease() -> None:
    assert run(GOALS, 0.7).log_harm > math.log(100)
    assert run(GOALS, 1.3).log_harm < 0
    assert (run(GOALS, 1.3).log_safety or 0) > math.log(20)


def test_an_absolute_margin_has_the_measures_unit() -> None:
    at_limit = run(FIVE_MS, 1.0, shift=5000.0)
    assert at_limit.effect == pytest.approx(5000, rel=0.15)
    assert at_limit.log_harm < math.log(20)
    assert (at_limit.log_safety or 0) < math.log(20)
    assert run(FIVE_MS, 1.0, shift=9000.0).log_harm > math.log(100)


def test_one_huge_request_does_not_decide() -> None:
    state: MeanState = LATENCY.start(sli(MEAN), PLAN)
    rng = np.random.default_rng(7)
    for i in range(30):
        c, b = rng.lognormal(10, 0.5, 200), rng.lognormal(10, 0.5, 800)
        c[0] *= 1e6 if i == 15 else 1
        state = LATENCY.step(
            state, pair(i, arm(200, measures={"duration_us": c}), arm(800, measures={"duration_us": b}))
        )
    assert LATENCY.read(state).log_harm < 0


def test_the_first_piece_only_sets_the_cap() -> None:
    state = LATENCY.start(sli(MEAN), PLAN)
    values = {"duration_us": np.full(20, 100.0)}
    state = LATENCY.step(state, pair(0, arm(20, measures=values), arm(20, measures=values)))
    assert state.means.scatter.windows == 0
    assert state.cap == pytest.approx(300, rel=0.02)


def test_small_windows_wait_for_ten_of_each_arm() -> None:
    state = LATENCY.start(sli(MEAN), PLAN)
    for i in range(10):
        assert state.cap == 0
        few, many = np.full(1, 100.0), np.full(50, 100.0)
        state = LATENCY.step(
            state, pair(i, arm(1, measures={"duration_us": few}), arm(50, measures={"duration_us": many}))
        )
    assert state.cap > 0


def test_a_measure_that_is_always_zero_or_absent_says_nothing() -> None:
    for values in ({"goals": np.zeros(50)}, {}):
        state = RESOURCE.start(GOALS, PLAN)
        for i in range(5):
            state = RESOURCE.step(state, pair(i, arm(50, measures=values), arm(50, measures=values)))
        assert RESOURCE.read(state).log_harm == 0


def test_values_are_shown_with_their_unit() -> None:
    assert RESOURCE.show(sli("{name: c, type: resource_mean, field: cpu_us, max_increase: 5%}"), 1500.0) == "1.5 ms"
    assert (
        RESOURCE.show(sli("{name: c, type: resource_mean, field: memory_bytes, max_increase: 5%}"), 2048.0) == "2 KiB"
    )
    assert RESOURCE.show(sli("{name: c, type: resource_mean, field: goals, max_increase: 5%}"), 0.25) == "0.25"
