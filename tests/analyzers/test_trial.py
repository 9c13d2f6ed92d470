"""The trial: what it remembers, what stays closed until a person resumes, and that nothing ever breaks it."""

from __future__ import annotations

import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzers import trial as trials
from analyzers.arm import ArmWindow, PairWindow
from analyzers.case import Situation
from analyzers.judgement import judge
from analyzers.trial import Trial
from tests.analyzers.builders import ALL, WINDOW_US, arm, pair, spec


def fold(trial: Trial, *windows: PairWindow) -> Trial:
    for window in windows:
        trial = trials.step(trial, window)
    return trial


def test_a_new_trial_knows_nothing() -> None:
    trial = trials.start(spec(), "canary")
    assert trial.closed is None
    assert (trial.seen_control_us, trial.seen_candidate_us) == (None, None)


def test_it_remembers_when_and_in_which_step_arms_were_seen() -> None:
    trial = fold(trials.start(spec(), "canary"), pair(0, arm(5), arm(0)), pair(1, arm(0), arm(7), step=1))
    assert (trial.seen_candidate_us, trial.seen_control_us) == (5_000_000, 10_000_000)
    assert (trial.seen_candidate_step, trial.seen_control_step) == (0, 1)
    assert (trial.rows_candidate, trial.rows_control) == (5, 7)


def test_the_rate_is_of_late() -> None:
    trial = fold(trials.start(spec(), "canary"), *(pair(i, arm(50), arm(450)) for i in range(3)))
    assert trial.rate == pytest.approx(100)
    trial = fold(trial, *(pair(i, arm(10), arm(90)) for i in range(3, 30)))
    assert trial.rate == pytest.approx(20, rel=0.01)


def test_invalid_stays_until_a_person_resumes() -> None:
    wrong = replace(pair(0, arm(50), arm(50)), mislabelled_candidate=50)
    trial = fold(trials.start(spec(), "canary"), wrong)
    assert "carry another version" in (trial.closed or "")
    trial = fold(trial, *(pair(i, arm(5000), arm(5000)) for i in range(1, 9)))
    assert "(50 of 100;" in (trial.closed or "")
    resumed = trials.resume(trial)
    assert resumed.closed is None
    assert fold(resumed, pair(10, arm(100), arm(100))).closed is None
    assert resumed.states is trial.states


def test_a_mismatch_stays_too_and_starts_anew_after_resuming() -> None:
    trial = fold(trials.start(spec(), "canary"), *(pair(i, arm(100), arm(900)) for i in range(5)))
    assert "configured" in (trial.closed or "")
    resumed = fold(trials.resume(trial), *(pair(i, arm(500), arm(500)) for i in range(5, 9)))
    assert resumed.closed is None


durations = st.sampled_from([0.0, 1e-9, 1.0, 12_345.0, 1e6, 1e13])


def an_arm(rows: int, errors: int, value: float, units: bool) -> ArmWindow:
    """All requests take the same time; one in two tells its CPU time."""
    failed = np.arange(rows) < min(errors, rows)
    values = {"duration_us": np.full(rows, value)}
    if units:
        return arm(rows, int(failed.sum()), measures=values, buckets=np.arange(rows) % 128, failed=failed)
    return arm(rows, int(failed.sum()), measures=values | {"cpu_us": np.full(rows // 2, value)})


arms = st.builds(
    an_arm,
    st.sampled_from([0, 1, 2, 9, 300, 5000]),
    st.sampled_from([0, 1, 300, 5000]),
    durations,
    st.booleans(),
)
shares = st.sampled_from([None, 0.0, 1e-4, 0.5, 0.9999, 1.0])
Drawn = tuple[ArmWindow, ArmWindow, float | None, bool, int]
anything = st.lists(st.tuples(arms, arms, shares, st.booleans(), st.integers(0, 1)), min_size=1, max_size=14)


def finite(value: object) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


@settings(max_examples=60, deadline=None)
@given(anything, st.sampled_from(["request", "user"]), st.booleans())
def test_whatever_comes_there_is_an_answer_without_nan(windows: list[Drawn], unit: str, absolute: bool) -> None:
    steps = ("{weight: 10%, duration: 20s}", "{weight: 50%, duration: 20s}")
    odd = (
        "{name: errors, type: error_ratio, max_increase: 20%}",
        "{name: p50, type: latency_quantile, quantile: 0.5, max_increase: 20ms}",
        "{name: mean, type: latency_mean, max_increase: 20ms}",
        "{name: cpu, type: resource_mean, field: cpu_us, max_decrease: 20ms}",
    )
    experiment = spec(*(odd if absolute else ALL), randomization=unit, steps=steps)
    trial = trials.start(experiment, "canary")
    for i, (c, b, share, steady, step) in enumerate(windows):
        trial = trials.step(trial, pair(i, c, b, share, step, steady))
        for applied in (None, 0):
            now = Situation((i + 1) * WINDOW_US, step, 2, True, applied, applied)
            answer = judge(experiment, trial, now)
            assert answer.reason
            assert all(finite(x) for item in answer.evidence for x in asdict(item).values())
            assert all(finite(x) for need in (answer.needed or {}).values() for x in asdict(need).values())
