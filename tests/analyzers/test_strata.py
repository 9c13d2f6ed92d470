"""Arms are compared within segments: another mix of them is no effect, and harm within one is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analyzers import trial as trials
from analyzers.arm import DURATION, ArmWindow, PairWindow, SparseCounts
from analyzers.judgement import weigh, weights
from analyzers.slis import kinds
from analyzers.strata import standardised
from bench.judgement.promises import ALLOWED, NEVER, NOTHING, run, spec
from bench.judgement.worlds import Effect, world
from tests.analyzers.builders import TRAFFIC, arm, pair
from tests.analyzers.builders import spec as spec_of


def mixed(*strata: tuple[ArmWindow, ArmWindow], index: int = 0) -> PairWindow:
    """A window of segments, each control's and candidate's rows."""
    control, candidate = (ArmWindow.sum(stratum[i] for stratum in strata) for i in (0, 1))
    return replace(pair(index, candidate, control), strata=strata)


def error_ratio(window: ArmWindow) -> float:
    return window.error_weight / window.weight


def test_each_arm_gets_the_mix_that_both_have() -> None:
    """Half of control and nine tenths of the candidate are of the worse segment: overlap weights 1 and 0.2, 5/9 and 1."""
    window = mixed((arm(500, 5), arm(100, 1)), (arm(500, 50), arm(900, 90)))
    assert error_ratio(window.candidate) > 1.6 * error_ratio(window.control)
    equal = standardised(window)
    assert equal.control.weight / equal.control.weight_max == pytest.approx(100 + 500, rel=1e-3)
    assert equal.candidate.weight / equal.candidate.weight_max == pytest.approx(100 + 500, rel=1e-3)
    assert error_ratio(equal.control) == pytest.approx((1 + 50) / 600, rel=1e-3)
    assert error_ratio(equal.candidate) == pytest.approx((1 + 50) / 600, rel=1e-3)
    assert equal.whole is window


def test_measures_have_the_same_weights() -> None:
    slow, quick = np.full(100, 900.0), np.full(300, 100.0)
    window = mixed(
        (arm(300, measures={DURATION: quick}), arm(100, measures={DURATION: quick[:100]})),
        (arm(100, measures={DURATION: slow}), arm(100, measures={DURATION: slow})),
    )
    equal = standardised(window)
    means = [one.measure(DURATION).total / one.measure(DURATION).rows for one in (equal.control, equal.candidate)]
    assert means[0] == pytest.approx(means[1])
    assert equal.candidate.measure(DURATION).histogram.counts.sum() == pytest.approx(
        equal.candidate.measure(DURATION).rows
    )


def test_equal_mixes_stay_whole_numbers() -> None:
    window = mixed((arm(100, 3), arm(10, 1)), (arm(300, 9), arm(30, 0)))
    equal = standardised(window)
    assert (equal.control, equal.candidate) == (window.control, window.candidate)


def test_a_segment_of_one_arm_alone_counts_in_neither() -> None:
    equal = standardised(mixed((arm(100, 3), arm(100, 2)), (arm(0), arm(900, 800)), (arm(400, 300), arm(0))))
    assert error_ratio(equal.control) == pytest.approx(0.03)
    assert error_ratio(equal.candidate) == pytest.approx(0.02)


def test_arms_that_share_no_segment_say_nothing() -> None:
    one_sided = mixed((arm(100, 1), arm(0)), (arm(0), arm(100, 90)))
    stratified = standardised(one_sided)
    assert (stratified.control.rows, stratified.candidate.rows) == (0, 0)
    told = spec_of()
    trial = trials.start(told, "canary")
    for i in range(20):
        trial = trials.step(trial, replace(one_sided, start_us=i * 5_000_000, end_us=(i + 1) * 5_000_000))
    (state,) = trial.states
    assert kinds()["error_ratio"].weigh(state) == pytest.approx((0.0, 0.0))


def test_without_segments_nothing_changes() -> None:
    window = pair(0, arm(10, 1), arm(10, 1))
    assert standardised(window) is window
    assert standardised(mixed((arm(0), arm(5)), (arm(0), arm(7)))).whole is None, "an arm has no rows"


def test_whole_and_weighted_counts_add_up() -> None:
    whole = SparseCounts(np.array([1, 3]), np.array([2, 5]))
    weighted = SparseCounts(np.array([3, 4]), np.array([0.5, 0.25]))
    assert (whole + weighted).counts.tolist() == [2, 5.5, 0.25]
    assert (weighted + whole).counts.tolist() == [2, 5.5, 0.25]


def test_traffic_is_that_of_all_rows() -> None:
    """Weights take rows away from the candidate; its share of traffic is right all the same."""
    told = spec_of(TRAFFIC)
    trial = trials.start(told, "canary")
    for i in range(60):
        trial = trials.step(trial, mixed((arm(900), arm(100)), (arm(100), arm(900)), index=i))
    harm, _ = kinds()["throughput"].weigh(trial.states[0])
    assert harm < 1


def ever_rolled_back(ignored: bool, seed: int) -> bool:
    """Equal arms of which the candidate comes to get six times as much of the worse segment."""
    where = world("segments")
    told = spec(where, NOTHING)
    trial = trials.start(told, "canary")
    for window in where.windows(seed):
        trial = trials.step(trial, replace(window, strata=()) if ignored else window)
        harm, _ = weigh(told, weights(told, trial))
        if harm:
            return True
    return False


@pytest.mark.parametrize("seed", [1, 2])
def test_a_worse_mix_is_harm_only_where_segments_are_ignored(seed: int) -> None:
    """Simpson's paradox: in neither segment is the candidate worse."""
    assert ever_rolled_back(ignored=True, seed=seed)
    assert not ever_rolled_back(ignored=False, seed=seed)


def test_harm_within_segments_is_found_and_a_good_release_shown_safe() -> None:
    where = world("segments")
    assert run(where, spec(where, ALLOWED), 1, Effect(errors=3, slower=1.5), stop=True).rollback < 60
    better = run(where, spec(where, ALLOWED, "p99"), 1, Effect(slower=0.8))
    assert (better.rollback, better.safe < NEVER) == (NEVER, True)
