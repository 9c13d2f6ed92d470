"""What SLIs share, and the conformance that each of them must keep."""

from __future__ import annotations

import numpy as np
import pytest

from analyzers.arm import ArmWindow
from analyzers.sli import Plan, Starts, current_share, scored
from analyzers.slis import kinds
from tests.analyzers.builders import CPU, ERRORS, MEAN, ONE, P99, TRAFFIC, Traffic, arm, pair, sli

PLAN = Plan(units=False, alpha=0.01, beta=0.05, steps=3, duration_us=1_300_000_000)
EXAMPLES = {
    "error_ratio": ERRORS,
    "throughput": TRAFFIC,
    "latency_quantile": P99,
    "latency_mean": MEAN,
    "resource_mean": CPU,
    "apdex": "{name: apdex, type: apdex, target: 30ms, max_decrease: 2pp}",
    "error_budget_burn": "{name: burn, type: error_budget_burn, max_increase: 2}",
}


def test_every_kind_has_an_example_here() -> None:
    assert set(kinds()) == set(EXAMPLES)


@pytest.mark.parametrize("kind", sorted(EXAMPLES))
class TestConformance:
    def test_nothing_seen_is_no_evidence(self, kind: str) -> None:
        reading = kinds()[kind].read(kinds()[kind].start(sli(EXAMPLES[kind]), PLAN))
        assert reading.log_harm == 0
        assert reading.log_safety in (0, None)
        assert (reading.lower, reading.upper, reading.baseline) == (None, None, None)

    def test_windows_without_an_arm_or_with_changing_weights_say_nothing_of_harm(self, kind: str) -> None:
        of, full = kinds()[kind], next(iter(Traffic(((0.5, 1),), latencies=True).windows(0)))
        state = of.start(sli(EXAMPLES[kind]), PLAN)
        state = of.step(state, pair(0, full.candidate, full.control, steady=False))
        state = of.step(state, pair(1, arm(0), arm(0)))
        assert of.read(state).log_harm == 0

    def test_an_effect_lies_in_its_interval_and_agrees_with_its_ends(self, kind: str) -> None:
        of = kinds()[kind]
        state = of.start(sli(EXAMPLES[kind]), PLAN)
        for window in Traffic(((0.5, 30),), rows=2000, base=0.02, latencies=True, shocks=False).windows(3):
            state = of.step(state, window)
        reading = of.read(state)
        assert reading.lower is not None
        assert reading.upper is not None
        assert reading.effect is not None
        assert reading.lower <= reading.effect <= reading.upper
        assert reading.lower < 0 < reading.upper
        assert abs(reading.effect) < 0.2 * max(1.0, reading.baseline or 0.0)
        assert reading.log_harm < 2

    def test_a_glance_at_one_window_is_near_what_many_read_and_nothing_is_no_number(self, kind: str) -> None:
        of, asked = kinds()[kind], sli(EXAMPLES[kind])
        state, glances = of.start(asked, PLAN), list[float]()
        for window in Traffic(((0.5, 30),), rows=2000, base=0.02, latencies=True, shocks=False).windows(3):
            state = of.step(state, window)
            glances.append(of.glance(asked, PLAN, window.candidate, 5.0))
        read = of.read(state).candidate
        assert read is not None
        assert np.mean(glances) == pytest.approx(read, rel=0.05)
        nothing = of.glance(asked, PLAN, arm(0), 5.0)
        assert nothing == 0.0 if kind == "throughput" else np.isnan(nothing)

    def test_it_can_be_shown(self, kind: str) -> None:
        assert kinds()[kind].show(sli(EXAMPLES[kind]), 1234.5)


def test_start_points_are_later_steps_and_twelve_times() -> None:
    starts = Starts.of(PLAN).at(7)
    assert len(starts) == 2 + 12
    assert starts.at(99) is starts
    np.testing.assert_array_equal(starts.begun(7, 0), [False] * 14)
    assert int(starts.begun(7 + 100_000_000, 0).sum()) == 1
    assert int(starts.begun(7 + 1_300_000_000, 2).sum()) == 14


def test_mixed_sampling_rates_score_by_weight() -> None:
    assert scored(arm(10, 2)) == (10, 2)
    assert scored(
        ArmWindow(
            rows=10,
            errors=2,
            weight=100 * ONE,
            error_weight=20 * ONE,
            weight_min=10 * ONE,
            weight_max=10 * ONE,
        )
    ) == (10, 2)
    mixed = ArmWindow(rows=10, errors=2, weight=40 * ONE, error_weight=11 * ONE, weight_min=ONE, weight_max=10 * ONE)
    assert scored(mixed) == (4, 1.1)


def test_current_share() -> None:
    assert current_share(0.1, 1, 1) == 0.1
    assert current_share(None, 1, 3) == 0.25
    assert current_share(0.0, 1, 3) == 0.25
