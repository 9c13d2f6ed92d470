"""latency_quantile against brute force over sorted requests."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analyzers.arm import SparseCounts
from analyzers.counts import ABOVE, BELOW, WEIGHTS
from analyzers.histogram import bin_of
from analyzers.sli import Plan
from analyzers.slis.latency_quantile import SLI, Profile, State
from tests.analyzers.builders import P99, Traffic, arm, pair, sli
from tests.analyzers.increments import increments

PLAN = Plan(units=False, alpha=0.01, beta=0.05, steps=1, duration_us=10**15)


def bins(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> list[int]:
    return bin_of(values).tolist()


def brute(c: list[int], b: list[int], shift: int, p: float) -> tuple[int, int]:
    """Lowest edge with at most (1-p) n pooled requests at or above it, by trying all; both arms' counts
    there."""
    moved = [x - shift for x in c]
    n = len(c) + len(b)
    for edge in range(-300, 4400):
        ec, eb = sum(x >= edge for x in moved), sum(x >= edge for x in b)
        if ec + eb <= (1 - p) * n:
            return ec, eb
    raise AssertionError


@pytest.mark.parametrize(
    ("p", "tolerance", "slower"), [(0.99, 0.1, 1.0), (0.99, 0.0, 2.0), (0.5, 0.05, 1.2), (0.9, 3.0, 0.2)]
)
def test_evidence_is_that_of_brute_force(p: float, tolerance: float, slower: float) -> None:
    state = SLI.start(
        sli(f"{{name: l, type: latency_quantile, quantile: {p}, max_increase: {100 * tolerance:g}%}}"), PLAN
    )
    rng = np.random.default_rng(4)
    harm, safety = np.zeros(8), np.zeros(8)
    exact = 64 * math.log2(1 + tolerance)
    for i in range(3):
        c, b = np.exp(rng.normal(9, 0.5, 300)) * slower, np.exp(rng.normal(9, 0.5, 700))
        window = pair(i, arm(300, measures={"duration_us": c}), arm(700, measures={"duration_us": b}))
        above, below = (brute(bins(c), bins(b), whole(exact), p) for whole in (math.ceil, math.floor))
        kept = state.clumps.believed(300, 700, *above)
        state = SLI.step(state, window)
        harm += increments(300, 700, *above, kept=kept)[0, ABOVE]
        safety += increments(300, 700, *below, kept=kept)[0, BELOW]
    assert state.counts.log_e(ABOVE) == pytest.approx(float(np.logaddexp.reduce(harm + np.log(WEIGHTS))))
    assert state.counts.log_e(BELOW, row=1) == pytest.approx(float(np.logaddexp.reduce(safety)) - math.log(8))


def test_an_absolute_margin_is_that_many_microseconds() -> None:
    """A candidate slower by exactly the margin is neither harmful nor safe."""
    state = SLI.start(sli("{name: l, type: latency_quantile, quantile: 0.9, max_increase: 20ms}"), PLAN)
    rng = np.random.default_rng(5)
    for i in range(40):
        c, b = rng.lognormal(11, 0.5, 500) + 20_000, rng.lognormal(11, 0.5, 500)
        state = SLI.step(state, pair(i, arm(500, measures={"duration_us": c}), arm(500, measures={"duration_us": b})))
    reading = SLI.read(state)
    assert reading.log_harm < math.log(20)
    assert (reading.log_safety or 0) < math.log(20)
    assert reading.effect == pytest.approx(20_000, rel=0.2)
    assert reading.lower is not None
    assert reading.upper is not None
    assert reading.lower < 20_000 < reading.upper


def test_small_windows_wait_until_five_slow_requests_are_promised() -> None:
    state: State = SLI.start(sli(P99), PLAN)
    values = {"duration_us": np.full(100, 1e4)}
    for i in range(2):
        state = SLI.step(state, pair(i, arm(100, measures=values), arm(100, measures=values)))
        assert state.n_candidate == 0
    state = SLI.step(state, pair(2, arm(100, measures=values), arm(100, measures=values)))
    assert (state.n_candidate, state.waiting) == (300, None)


def test_what_waits_is_dropped_when_the_share_changes() -> None:
    values = {"duration_us": np.full(100, 1e4)}
    state = SLI.step(SLI.start(sli(P99), PLAN), pair(0, arm(100, measures=values), arm(100, measures=values), 0.5))
    state = SLI.step(state, pair(1, arm(100, measures=values), arm(100, measures=values), 0.6))
    assert state.waiting is not None
    assert state.waiting.candidate.rows == 100
    state = SLI.step(state, pair(2, arm(100, measures=values), arm(100, measures=values), 0.6, steady=False))
    assert state.waiting is None


def test_shown_quantiles_are_near_the_true_ones() -> None:
    state = SLI.start(sli(P99), PLAN)
    for window in Traffic(((0.1, 40), (0.5, 40)), shocks=False, latencies=True, slower=1.25).windows(2):
        state = SLI.step(state, window)
    reading = SLI.read(state)
    true = math.exp(10 + 2.326 * 0.5)
    assert reading.baseline == pytest.approx(true, rel=0.03)
    assert reading.candidate == pytest.approx(1.25 * true, rel=0.04)
    assert reading.lower is not None
    assert reading.upper is not None
    assert reading.lower < 0.25 < reading.upper
    assert reading.log_harm > math.log(100)


def test_profiles_grow_both_ways() -> None:
    low, high = SparseCounts(np.array([5]), np.array([3])), SparseCounts(np.array([2000]), np.array([1]))
    profile = Profile.zero().add(high, 2.0).add(low, 0.5).add(high, 1.0)
    assert profile.weights.sum() == pytest.approx(4.5)
    assert profile.weights[2000 - profile.base] == 3.0
