"""Shares without a control: held against the objective, exactly, and with patience for an odd burst."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analyzers import trial as trials
from analyzers.arm import EMPTY
from analyzers.case import Situation
from analyzers.judgement import Judgement, judge
from analyzers.share_sli import VIRTUAL
from schemas.spec import ExperimentSpec, load_specs
from tests.analyzers.builders import arm, pair
from tests.analyzers.increments import increments
from tests.analyzers.oracles import binomial_chances

TEXT = (
    "id: e\nservice: s\nenvironment: p\nmode: absolute\nvariants: {first: {version: '1'}}\nrandomization: request\n"
    "slis: [{name: errors, type: error_ratio, max_increase: 0.5pp}, {name: mean, type: latency_mean}]\n"
    "policy: {min_duration: 1m, min_requests: 100}\nerror_budget: {objective: 99%}\n"
    "steps: [{weight: 100%, duration: 5m}]\n"
)


def spec() -> ExperimentSpec:
    return load_specs(TEXT)[0]


def run(*errors: int, rows: int = 1000) -> Judgement:
    trial = trials.start(spec(), "first")
    for i, failed in enumerate(errors):
        trial = trials.step(trial, pair(i, arm(rows, failed), EMPTY, share=None))
    return judge(spec(), trial, Situation(len(errors) * 5_000_000, 0, 1, True, 0, 0))


@pytest.mark.parametrize("p0", [0.01, 0.3])
def test_expectation_is_at_most_one_on_the_border(p0: float) -> None:
    n = 40
    ec = np.arange(n + 1.0)
    rows = increments(n, VIRTUAL * n, ec, np.full(n + 1, VIRTUAL * n * p0))
    assert (binomial_chances(ec, n, p0) @ np.exp(rows) <= 1 + 1e-9).all()


def test_within_its_budget_a_first_deploy_is_promoted_and_beyond_it_rolled_back() -> None:
    rng = np.random.default_rng(7)
    good = run(*rng.binomial(1000, 0.008, 61).tolist())
    assert (good.action, good.conclusion) == ("PROMOTE", "HEALTHY")
    evidence = {item.sli: item for item in good.evidence}
    assert evidence["errors"].baseline == pytest.approx(0.01)
    assert evidence["mean"].status == "SHADOW"  # it has no control to be compared with
    bad = run(*rng.binomial(1000, 0.05, 20).tolist())
    assert (bad.action, bad.conclusion) == ("ROLLBACK", "HARM")


def test_an_anomaly_in_between_is_borne() -> None:
    rng = np.random.default_rng(8)
    errors = rng.binomial(1000, 0.002, 61).tolist()
    errors[20] = 200
    assert all(run(*errors[:n]).action != "ROLLBACK" for n in (21, 22, 40, 61))
    errors[20] = 40
    assert run(*errors).action == "PROMOTE"


def test_nothing_seen_holds() -> None:
    assert (run(0, rows=0).action, run(0, rows=0).conclusion) == ("HOLD", "NO_DATA")
    assert math.isfinite(run(5, rows=5).evidence[0].log_evidence)
