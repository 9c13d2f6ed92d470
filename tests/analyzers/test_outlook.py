"""The outlook before the start: against section 6, against itself, and against what simulated rollouts really took."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analyzers import forecast
from analyzers import trial as trials
from analyzers.judgement import weigh, weights
from analyzers.outlook import COST, outlook, pair, rate_needed, tolerance_needed
from analyzers.sli import Foreseen, Normal, Plan
from analyzers.slis import kinds
from schemas.spec import ExperimentSpec
from tests.analyzers.builders import CPU, ERRORS, MEAN, P99, TRAFFIC, WINDOW_US, Traffic, sli, spec

STEPS = ("{weight: 10%, duration: 10m}", "{weight: 50%, duration: 10m}")
PLAN = Plan(units=False, alpha=0.01, beta=0.05, steps=1, duration_us=600_000_000)


def test_a_step_is_section_6() -> None:
    plan = outlook(spec(ERRORS, steps=STEPS), 100.0, {"errors": Normal(0.01)})
    first, second = plan.slis[0].steps
    assert (first.share, first.rate, second.share, second.rate) == (0.1, 100.0, 0.5, 100.0)
    for step in (first, second):
        assert step.foreseen.safety == COST * (forecast.safety_requests(step.share, 0.01, 1.0, 0.005, 0.05) or math.nan)
        assert step.foreseen.harm == forecast.harm_requests(step.share, 0.01, 1.0, 0.005, 0.02 / 0.015, 0.01)


def test_evidence_adds_up_over_steps() -> None:
    slow, quick = (outlook(spec(ERRORS, steps=STEPS), rate, {}).slis[0] for rate in (20.0, 200.0))
    assert slow.safety_s is not None
    assert slow.safety_requests is not None
    needed = [step.foreseen.safety or math.nan for step in slow.steps]
    gathered = 600 * 20.0 / needed[0] + (slow.safety_s - 600) * 20.0 / needed[1]
    assert gathered == pytest.approx(1.0)
    assert slow.safety_requests == pytest.approx(20.0 * slow.safety_s)
    assert quick.safety_s == pytest.approx(needed[0] / 200.0)  # within the first step


def test_promotion_waits_for_steps_requests_and_safety() -> None:
    steps_first = outlook(spec(ERRORS, steps=STEPS), 1000.0, {})
    assert steps_first.promote_s == steps_first.promote_most_s == steps_first.planned_s == 1200.0
    assert steps_first.fits
    requests_first = outlook(spec(ERRORS, steps=STEPS, policy="{min_requests: 100000}"), 100.0, {})
    assert requests_first.promote_s == requests_first.min_requests_s == pytest.approx(600 + (100_000 - 6000) / 50)
    safety_first = outlook(spec(ERRORS, P99, steps=STEPS), 3.0, {})
    assert safety_first.promote_s == safety_first.slis[1].safety_s
    never = outlook(spec("{name: e, type: error_ratio, max_increase: 0%}", steps=STEPS), 1000.0, {})
    assert never.promote_s is None
    assert not never.fits


def test_several_candidates_share_traffic_and_alpha() -> None:
    two = spec(ERRORS, steps=("{weight: 25%, duration: 10m}",), candidates=("a", "b"))
    share, part = pair(two, 0.25)
    assert (share, part) == (pytest.approx(1 / 3), 0.75)
    one = spec(ERRORS, steps=("{weight: 25%, duration: 10m}",))
    harms = [outlook(one_of, 100.0, {}).slis[0].steps[0].foreseen.harm for one_of in (one, two)]
    assert harms[0] is not None
    assert harms[1] is not None
    assert harms[1] > harms[0] * 0.9


def test_without_a_control_the_candidate_is_judged_alone() -> None:
    plan = outlook(spec(ERRORS, steps=("{weight: 100%, duration: 10m}",), mode="absolute"), 10.0, {})
    assert plan.promote_s is not None
    compared = outlook(spec(ERRORS, steps=("{weight: 50%, duration: 10m}",)), 10.0, {"errors": Normal(0.001)})
    assert (plan.slis[0].safety_requests or 0) < (compared.slis[0].safety_requests or 0)


def test_a_step_without_control_adds_nothing() -> None:
    plan = outlook(spec(ERRORS, steps=("{weight: 100%, duration: 10m}",)), 100.0, {})
    assert plan.slis[0].safety_s is None
    assert plan.min_requests_s is None


APDEX, BURN = "{name: a, type: apdex, target: 100ms}", "{name: b, type: error_budget_burn}"
HALF_MORE = "{name: e, type: error_ratio, max_increase: 50%}"


@pytest.mark.parametrize("text", [ERRORS, P99, MEAN, CPU, TRAFFIC, APDEX, BURN, HALF_MORE])
def test_every_kind_foresees(text: str) -> None:
    one = sli(text)
    kind = kinds()[one.type]
    half, small = (kind.foresee(one, PLAN, share, Normal()) for share in (0.5, 0.01))
    assert half.harm is not None
    assert small.harm is not None
    assert 0 < half.harm < small.harm
    has_safety = kind.weigh(kind.start(one, PLAN))[1] is not None
    assert (half.safety is not None) == has_safety
    if half.safety is not None and small.safety is not None:
        assert 0 < half.safety < small.safety


@pytest.mark.parametrize("kind", ["latency_mean", "latency_quantile, quantile: 0.9"])
def test_an_absolute_margin_needs_a_level(kind: str) -> None:
    one = sli(f"{{name: l, type: {kind}, max_increase: 10ms}}")
    foresee = kinds()[one.type].foresee
    assert foresee(one, PLAN, 0.5, Normal()) == Foreseen(None, None)
    relative = sli(f"{{name: l, type: {kind}, max_increase: 10%}}")
    same, other = foresee(one, PLAN, 0.5, Normal(level=100_000.0)), foresee(relative, PLAN, 0.5, Normal())
    assert same.safety == pytest.approx(other.safety, rel=0.3)  # a relative margin scales control's scatter, too
    assert foresee(one, PLAN, 0.5, Normal(level=1_000.0)).safety is not None


def test_what_would_be_enough_is_enough() -> None:
    experiment = spec(ERRORS, steps=STEPS, policy="{min_duration: 1m, min_requests: 100, max_duration: 30m}")
    plan = outlook(experiment, 2.0, {})
    rate, wider = rate_needed(plan, plan.slis[0]), tolerance_needed(plan, plan.slis[0])
    assert rate is not None
    assert wider is not None
    assert outlook(experiment, rate * 1.001, {}).fits
    assert not outlook(experiment, rate * 0.999, {}).fits
    allowed = ERRORS.replace("0.5pp", f"{100 * wider}pp")
    assert outlook(
        spec(allowed, steps=STEPS, policy="{min_duration: 1m, max_duration: 30m, min_requests: 1}"), 2.0, {}
    ).fits


SIGMA = 0.5
CV = math.sqrt(math.expm1(SIGMA**2))


@pytest.mark.parametrize(
    ("text", "rows"),
    [(ERRORS, 300), (P99, 600), (MEAN, 60), (CPU, 40)],
    ids=lambda x: str(x)[7:14],
)
def test_simulated_rollouts_take_about_so_long(text: str, rows: int) -> None:
    """A harmless release at 50 %: the median and nine in ten of the forecast against 25 rollouts."""
    experiment = spec(text, steps=("{weight: 50%, duration: 10m}",))
    name = experiment.slis[0].name
    foreseen = outlook(experiment, rows / 5, {name: Normal(0.005, CV)}).slis[0]
    assert foreseen.safety_s is not None
    assert foreseen.safety_most_s is not None
    traffic = Traffic(((0.5, 400),), rows, latencies=text != ERRORS, shocks=False, sigma=SIGMA)
    took = np.array([_seconds_to_safety(experiment, traffic, seed) for seed in range(25)])
    assert 0.5 < float(np.median(took)) / foreseen.safety_s < 2.0
    assert float(np.quantile(took, 0.9)) < 1.5 * foreseen.safety_most_s


def _seconds_to_safety(experiment: ExperimentSpec, traffic: Traffic, seed: int) -> float:
    trial = trials.start(experiment, "canary")
    for i, window in enumerate(traffic.windows(seed)):
        trial = trials.step(trial, window)
        if weigh(experiment, weights(experiment, trial))[1]:
            return (i + 1) * WINDOW_US / 1e6
    return math.inf
