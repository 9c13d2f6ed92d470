"""Statistical truth: what alpha and beta promise, measured on simulated rollouts with fixed seeds.

A bound fails where the count is larger than the promise explains at one in a thousand (exact binomial). The
small part judges the error ratio alone; ``--full`` runs more rollouts, and latencies at the border of their tolerance.
All SLIs at once, in many worlds: tests/bench/judgement. Rollouts are 1 % -> 10 % -> 50 %, 120 windows, with load and
error shocks common to both arms unless said otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from analyzers import trial as trials
from analyzers.arm import ArmWindow, MeasureSum, PairWindow, SparseCounts
from analyzers.counts import BELOW
from analyzers.dispersion import bucket_sums
from analyzers.sli import Plan
from analyzers.slis import kinds
from analyzers.slis.error_ratio import SLI
from tests.analyzers.builders import ERRORS, ONE, WINDOW_US, Ints, Traffic, pair, sli, spec
from tests.analyzers.oracles import chance_of_so_many

ALPHA, BETA = 0.01, 0.05
PLAN = Plan(units=False, alpha=ALPHA, beta=BETA, steps=3, duration_us=120 * WINDOW_US)
NEVER = 10**9


@dataclass(frozen=True)
class Outcome:
    """First window with HARM and with SAFETY (`NEVER`: not once)."""

    harm: int = NEVER
    safety: int = NEVER


def errors_alone(windows: Iterable[PairWindow], text: str = ERRORS, plan: Plan = PLAN) -> Outcome:
    """One rollout, looked at after every window."""
    state, outcome = SLI.start(sli(text), plan), Outcome()
    for i, window in enumerate(windows):
        state = SLI.step(state, window)
        phi = state.clumps.phi()
        if outcome.harm == NEVER and state.counts.log_harm(phi) >= math.log(1 / ALPHA):
            outcome = replace(outcome, harm=i)
        if outcome.safety == NEVER and state.counts.log_e(BELOW, phi) >= math.log(1 / BETA):
            outcome = replace(outcome, safety=i)
    return outcome


def all_slis(windows: Iterable[PairWindow], *texts: str) -> Outcome:
    """The same with all SLIs together: the mean for HARM, each of them for SAFETY."""
    steps = tuple(f"{{weight: {share}%, duration: 200s}}" for share in (1, 10, 50))
    experiment = spec(*texts, steps=steps)
    trial, outcome = trials.start(experiment, "canary"), Outcome()
    for i, window in enumerate(windows):
        trial = trials.step(trial, window)
        read = [kinds()[kind].read(state) for kind, state in zip(trial.types, trial.states, strict=True)]
        mean = float(np.logaddexp.reduce([reading.log_harm for reading in read])) - math.log(len(read))
        if outcome.harm == NEVER and mean >= math.log(1 / ALPHA):
            outcome = replace(outcome, harm=i)
        lacking = [
            reading for reading in read if reading.log_safety is not None and reading.log_safety < math.log(1 / BETA)
        ]
        if outcome.safety == NEVER and not lacking:
            outcome = replace(outcome, safety=i)
    return outcome


def at_most(happened: int, runs: int, promise: float) -> None:
    assert chance_of_so_many(happened, runs, promise) > 1e-3, f"{happened} of {runs}"


def ever_harm(outcomes: list[Outcome]) -> int:
    return sum(outcome.harm < NEVER for outcome in outcomes)


def ever_safety(outcomes: list[Outcome]) -> int:
    return sum(outcome.safety < NEVER for outcome in outcomes)


def sticky(seed: int, per_user: int, ratio: float = 1.0, users: int = 4000, windows: int = 60) -> Iterable[PairWindow]:
    """Users keep their arm; one in some is unlucky and fails about `per_user` times. Arms are otherwise
    equal."""
    rng = np.random.default_rng(seed)
    mine, bucket = rng.random(users) < 0.5, rng.integers(0, 128, users)
    rate = rng.gamma(0.5, 2.0, users)
    expected = 0.02 * rate.sum() / users
    unlucky = rng.random(users) < np.where(mine, ratio, 1.0) * min(expected * windows / per_user, 1.0)
    for i in range(windows):
        sent = rng.poisson(rate)
        failed = rng.poisson(np.where(unlucky, per_user / windows, 0.0))
        sent = np.maximum(sent, failed)
        c, b = (_sticky_arm(sent[who], failed[who], bucket[who]) for who in (mine, ~mine))
        yield pair(i, c, b)


def _sticky_arm(sent: Ints, failed: Ints, bucket: Ints) -> ArmWindow:
    rows, errors = (
        bucket_sums(bucket, sent).astype(np.int64),
        bucket_sums(bucket, failed).astype(np.int64),
    )
    of_errors, of_rows = np.flatnonzero(errors), np.flatnonzero(rows)
    joint = SparseCounts(of_rows * 512, rows[of_rows])
    n, e = int(rows.sum()), int(errors.sum())
    return ArmWindow(
        n, e, 0, 0, n, n * ONE, e * ONE, ONE, ONE, 0, SparseCounts(of_errors, errors[of_errors]),
        SparseCounts(), SparseCounts(), {"duration_us": MeasureSum(n, 0, SparseCounts(), joint)},
    )  # fmt: skip


def promise_errors(runs: int) -> None:
    """Errors: A/A, and a release exactly at its tolerance, absolute and relative."""
    equal = [errors_alone(Traffic().windows(seed)) for seed in range(runs)]
    at_most(ever_harm(equal), runs, ALPHA)
    for text, worse in (
        (ERRORS, Traffic(extra=0.005)),
        ("{name: e, type: error_ratio, max_increase: 50%}", Traffic(ratio=1.5)),
    ):
        border = [errors_alone(worse.windows(seed), text) for seed in range(runs)]
        at_most(ever_harm(border), runs, ALPHA)
        at_most(ever_safety(border), runs, BETA)


def test_the_two_promises_for_errors() -> None:
    promise_errors(60)


def test_a_doubled_error_rate_is_found() -> None:
    zero = "{name: e, type: error_ratio, max_increase: 0.1pp}"
    found = [errors_alone(Traffic(base=0.01, ratio=2.0).windows(seed), zero) for seed in range(25)]
    assert ever_harm(found) == 25
    assert np.median([outcome.harm for outcome in found]) < 80  # 4 000 candidate requests at 10 %, after the first step


def test_harm_in_mid_flight_is_found_from_its_start_point_on() -> None:
    """Healthy for 100 windows, then ten times the errors: the sums of the healthy past must not hide it."""
    late = Traffic(steps=((0.5, 130),), rows=500, base=0.01, ratio=10.0, shocks=False, from_window=100)
    plan = replace(PLAN, steps=1, duration_us=130 * WINDOW_US)
    found = [errors_alone(late.windows(seed), ERRORS, plan).harm for seed in range(10)]
    assert min(found) >= 100
    assert max(found) <= 110


def test_a_harmless_release_is_shown_safe() -> None:
    safe = [errors_alone(Traffic().windows(seed)) for seed in range(25)]
    assert ever_safety(safe) == 25


def test_sticky_users_need_the_design_effect_and_get_it() -> None:
    """Ten errors per affected user, arms equal: as independent requests this rolls back far too often."""
    zero = "{name: e, type: error_ratio, max_increase: 0%}"
    users, naive = replace(PLAN, units=True, steps=1), replace(PLAN, steps=1)
    runs = 40
    respected = [errors_alone(sticky(seed, 10), zero, users) for seed in range(runs)]
    ignored = [errors_alone(sticky(seed, 10), zero, naive) for seed in range(runs)]
    at_most(ever_harm(respected), runs, ALPHA)
    assert chance_of_so_many(ever_harm(ignored), runs, ALPHA) < 1e-3


@pytest.mark.full
def test_the_two_promises_for_errors_at_length() -> None:
    promise_errors(2000)


@pytest.mark.full
@pytest.mark.parametrize("sigma", [0.5, 1.0])
@pytest.mark.parametrize("kind", ["latency_quantile, quantile: 0.99", "latency_mean"])
def test_a_release_just_beyond_its_latency_tolerance(kind: str, sigma: float) -> None:
    """SAFETY is asked at a release 10 % slower where 10 % is allowed, HARM at one just within; bins are 1.1 %
    wide."""
    runs = 400
    traffic = Traffic(latencies=True, rows=1000, slower=1.1, sigma=sigma)
    outcomes = [
        all_slis(traffic.windows(seed), f"{{name: l, type: {kind}, max_increase: 10%}}") for seed in range(runs)
    ]
    at_most(ever_harm(outcomes), runs, ALPHA)
    at_most(ever_safety(outcomes), runs, BETA)


@pytest.mark.full
@pytest.mark.parametrize(
    ("traffic", "text"),
    [
        (Traffic(base=0.005, ratio=1.5), "{name: e, type: error_ratio, max_increase: 0%}"),
        (Traffic(base=0.005, ratio=5.0), ERRORS),
        (
            Traffic(latencies=True, slower=1.25),
            "{name: l, type: latency_quantile, quantile: 0.99, max_increase: 0%}",
        ),
        (Traffic(latencies=True, slower=1.1), "{name: l, type: latency_mean, max_increase: 0%}"),
        (
            Traffic(latencies=True, slower=1.3),
            "{name: c, type: resource_mean, field: cpu_us, max_increase: 15%}",
        ),
    ],
)
def test_detection(traffic: Traffic, text: str) -> None:
    outcomes = [all_slis(traffic.windows(seed), text) for seed in range(100)]
    assert ever_harm(outcomes) >= 60
