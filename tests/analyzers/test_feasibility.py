"""Promises that cannot be kept are found, and those that can are left alone."""

from __future__ import annotations

import pytest

from analyzers.feasibility import problems
from schemas.located import dotted
from schemas.spec import ExperimentSpec
from tests.analyzers.builders import ALL, ERRORS, MEAN, P99, spec

LONG = ("{weight: 10%, duration: 10m}", "{weight: 50%, duration: 10m}")


def told(experiment: ExperimentSpec, rate: float | None = None) -> list[str]:
    return [f"{dotted(loc)}: {text}" for loc, text in problems(experiment, rate)]


def test_a_good_spec_has_none() -> None:
    assert told(spec(*ALL, steps=LONG)) == []
    assert told(spec(*ALL, steps=LONG), 1000.0) == []


@pytest.mark.parametrize(
    ("experiment", "place", "says"),
    [
        (spec(steps=LONG, policy="{max_duration: 15m}"), "policy.max_duration",
         "the steps take 20 min but max_duration is 15 min"),
        (spec(steps=(*LONG, "{weight: 100%, duration: 1m}")), "steps[2].weight", "100% leaves nothing to control"),
        (spec(candidates=("a", "b"), steps=("{weight: 50%, duration: 1m}",)), "steps[0].weight", "50% leaves nothing"),
        (spec(ERRORS[:-1] + ", mode: shadow}"), "slis", "every SLI is in mode shadow"),
        (spec(P99, mode="absolute"), "slis", "only error_budget_burn and error_ratio can be judged"),
        (spec("{name: e, type: error_ratio, max_increase: 0%}"), "slis[0].max_increase", "can never be shown to be within it"),
        (spec("{name: c, type: resource_mean, field: carts, max_decrease: 0%}"), "slis[0].max_decrease",
         "with nothing allowed"),
        (spec(ERRORS, "{name: again, type: error_ratio, max_increase: 1pp}"), "slis[1].max_increase",
         "again allows 1 pp more and errors 0.5 pp more of the same: only errors can decide; remove again"),
        (spec(ERRORS, ERRORS.replace("errors", "again")), "slis[1].name", "again is the same as errors"),
    ],
)  # fmt: skip
def test_what_can_never_be(experiment: ExperimentSpec, place: str, says: str) -> None:
    (one,) = told(experiment)
    assert one.startswith(f"{place}: ")
    assert says in one


def test_an_slis_shadow_is_no_contradiction() -> None:
    assert told(spec(ERRORS, "{name: again, type: error_ratio, max_increase: 0%, mode: shadow}")) == []
    assert told(spec(MEAN, "{name: other, type: latency_mean, max_increase: 20ms}")) == []
    assert told(spec(P99, P99.replace("0.99", "0.5").replace("p99", "p50"))) == []
    assert told(spec(steps=("{weight: 100%, duration: 1m}",), mode="absolute")) == []


def test_too_little_traffic_is_told_with_the_numbers() -> None:
    experiment = spec(ERRORS, steps=LONG, policy="{min_requests: 10, max_duration: 1h}")
    (one,) = told(experiment, 2.0)
    assert one == (
        "slis[0].max_increase: max_increase: to show 0.5 pp more takes about 7,500 requests of both arms, nine times in ten "
        "up to 16,000: at 2 requests/s that is 63 min to 2 h, but max_duration is 60 min, so that fewer than half good "
        "releases are promoted: allow 0.98 pp more, or say max_duration: 3h, or send 5 requests/s"
    )
    assert told(experiment, 10.0) == []
    (fewer,) = told(spec(ERRORS, steps=LONG, policy="{min_requests: 100000, max_duration: 1h}"), 20.0)
    assert fewer.startswith(
        "policy.min_requests: min_requests: at 20 requests/s the smaller arm has 100000 requests after 3 h"
    )


def test_what_it_advises_is_enough() -> None:
    policy = "{min_requests: 10, max_duration: 1h}"
    assert told(spec(ERRORS.replace("0.5pp", "0.98pp"), steps=LONG, policy=policy), 2.0) == []
    assert told(spec(steps=LONG, policy=policy.replace("1h", "3h")), 2.0) == []
    assert told(spec(steps=LONG, policy=policy), 5.0) == []
