"""A judge's budgets: windows that change are counted anew, slow requests are told from the histogram, rollouts are held."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest

from schemas.budget import BudgetStatus
from schemas.slo import Slo
from schemas.spec import load_specs
from streams.budgets import TELL_US, Budgets
from tests.analyzers.builders import arm

BEGIN_US, WINDOW_US = 1_790_000_000_000_000, 5_000_000
GROUP = ("e", "s", "p")
SPEC = """\
id: e
service: s
environment: p
variants: {control: {version: '1'}, canary: {version: '2'}}
slis: [{name: errors, type: error_ratio, max_increase: 50%}]
error_budget: {objective: 99%, window: 1d, slow_below: 50%, hold_below: 10%}
steps: [{weight: 50%, duration: 1h}]
"""
ERRORS = Slo.model_validate({"service": "s", "environment": "p", "objective": "99%"})
SLOW = Slo.model_validate({"service": "s", "environment": "p", "objective": "90%", "slower_than": "300ms"})


def statuses(budgets: Budgets, closed_us: int) -> dict[str, BudgetStatus]:
    return {status.slo: status for status in budgets.close(closed_us)}


@pytest.mark.parametrize("seed", range(5))
def test_the_latest_content_of_every_window_counts_once(seed: int) -> None:
    rng = random.Random(seed)
    budgets, latest = Budgets({"errors": ERRORS}), dict[tuple[int, str], tuple[int, int]]()
    told: BudgetStatus | None = None
    for i in range(400):
        start, version = BEGIN_US + rng.randrange(40) * WINDOW_US, rng.choice("12")
        rows = rng.randrange(1, 50)
        latest[start, version] = rows, rng.randrange(rows)
        budgets.count(GROUP, start, (version, None), arm(*latest[start, version]))
        if i % 50 == 49:
            told = statuses(budgets, BEGIN_US + (40 + i * 10) * WINDOW_US).get("errors", told)
            held = Budgets({"errors": ERRORS})
            held.restore(json.loads(json.dumps(budgets.dump())), BEGIN_US)
            budgets = held
    assert told is not None
    assert (told.requests, told.bad) == tuple(map(sum, zip(*latest.values(), strict=True)))
    allowed = told.allowed
    for version in "12":
        bad = sum(bad for (_, name), (_, bad) in latest.items() if name == version)
        assert told.spent[version] == pytest.approx(bad / allowed)


def test_slow_requests_are_bad_where_the_objective_says_how_slow() -> None:
    budgets = Budgets({"slow": SLOW, "errors": ERRORS})
    durations = np.array([100_000.0] * 90 + [290_000.0] * 5 + [310_000.0] * 5)
    budgets.count(GROUP, BEGIN_US, ("1", None), arm(100, 7, measures={"duration_us": durations}))
    budgets.count(("other", "s", "elsewhere"), BEGIN_US, ("1", None), arm(100, 100))
    found = statuses(budgets, BEGIN_US + WINDOW_US)
    assert (found["slow"].requests, found["slow"].bad) == (100, 5)
    assert (found["errors"].requests, found["errors"].bad) == (100, 7)
    assert found["slow"].reason.startswith("100 % of the error budget slow is left: 5 of 100 requests were bad")


def test_a_status_is_told_when_it_matters_and_now_and_then() -> None:
    budgets = Budgets({"errors": ERRORS.model_copy(update={"objective": 0.999})})
    told: list[int] = []
    for i in range(60):
        budgets.count(GROUP, BEGIN_US + i * WINDOW_US, ("1", None), arm(100, 0))
        told += [i for _ in budgets.close(BEGIN_US + (i + 1) * WINDOW_US)]
    assert told == list(range(0, 60, TELL_US // WINDOW_US))
    budgets.count(GROUP, BEGIN_US + 60 * WINDOW_US, ("1", None), arm(10_000, 9_900))
    (status,) = budgets.close(BEGIN_US + 61 * WINDOW_US)
    assert (status.alert, status.alert_since) == ("PAGE", BEGIN_US + 61 * WINDOW_US)
    assert BudgetStatus.decode(status.encode()) == status


def test_a_specs_budget_is_one_of_its_service_and_holds_its_rollout() -> None:
    (spec,) = load_specs(SPEC)
    budgets = Budgets({})
    budgets.declare(spec)
    budgets.declare(spec)
    assert budgets.limit(spec) is None, "nothing was counted yet"
    day = 86_400_000_000
    for i in range(24):
        budgets.count(GROUP, BEGIN_US + i * day // 24, ("1", None), arm(1000, 8))
    assert set(statuses(budgets, BEGIN_US + day)) == {"errors-99-1d"}
    limit = budgets.limit(spec)
    assert limit is not None
    assert limit.pace == pytest.approx(2.5)
    again = Budgets({})
    again.declare(spec)
    again.restore(json.loads(json.dumps(budgets.dump())), BEGIN_US + day)
    assert again.limit(spec) == limit, "who takes over slows it as much"
    budgets.count(GROUP, BEGIN_US + day, ("2", None), arm(1000, 100))
    budgets.close(BEGIN_US + day + WINDOW_US)
    limit = budgets.limit(spec)
    assert limit is not None
    assert limit.pace is None
    (careless,) = load_specs(SPEC.replace(", slow_below: 50%, hold_below: 10%", ""))
    assert budgets.limit(careless) is None


def test_a_specs_period_may_be_an_hour() -> None:
    (spec,) = load_specs(SPEC.replace("window: 1d", "window: 1h"))
    budgets = Budgets({})
    budgets.declare(spec)
    budgets.count(GROUP, BEGIN_US, ("1", None), arm(1000, 20))
    (status,) = budgets.close(BEGIN_US + WINDOW_US)
    assert (status.slo, status.left) == ("errors-99-1h", pytest.approx(1 - 2 / 720))


def test_another_meaning_begins_anew() -> None:
    budgets = Budgets({"errors": ERRORS})
    budgets.count(GROUP, BEGIN_US, ("1", None), arm(100, 9))
    budgets.close(BEGIN_US + WINDOW_US)
    for changed, bad in (({"objective": 0.5}, 9), ({"slower_than_us": 5}, 0), ({"window_us": 86_400_000_000}, 0)):
        other = Budgets({"errors": ERRORS.model_copy(update=changed)})
        other.restore(budgets.dump(), BEGIN_US + WINDOW_US)
        (status,) = other.close(BEGIN_US + 100 * WINDOW_US)
        assert status.bad == bad, changed
