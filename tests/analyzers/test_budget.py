"""Budgets against a plain recount; when alerts burn and are over; what a low budget does to the pace."""

from __future__ import annotations

import random

import pytest

from analyzers import budget as budgets
from analyzers import snapshot
from analyzers.budget import Budget, Count, Standing
from schemas.slo import DAY_US, ErrorBudget, Slo

NOW = 1_790_000_100_000_000 // 60_000_000 * 60_000_000
MINUTE, HOUR = 60_000_000, 3_600_000_000


def slo(objective: str = "99.9%", **more: object) -> Slo:
    return Slo.model_validate({"service": "s", "environment": "p", "objective": objective, **more})


def after(asked: Slo, counts: list[Count], now_us: int = NOW) -> Standing:
    return budgets.step(asked, budgets.start(asked), counts, now_us)[1]


def minutes(count: int, requests: int, bad: int, until_us: int = NOW, version: str = "1") -> list[Count]:
    return [Count(until_us - (i + 1) * MINUTE, version, requests, bad) for i in range(count)]


@pytest.mark.parametrize("window", ["1d", "7d", "30d", "90d"])
def test_rates_are_those_of_a_recount_whatever_the_order_and_the_batches(window: str) -> None:
    rng = random.Random(window)
    asked = slo(window=window)
    counts = [
        Count(NOW - rng.randrange(1, asked.window_us // 5_000_000) * 5_000_000, rng.choice("12"), rng.randrange(50), 0)
        for _ in range(3000)
    ] + [Count(NOW - i * 5_000_000, "1", 50, rng.randrange(5)) for i in range(1, 2000)]
    expected = after(asked, counts)
    rng.shuffle(counts)
    budget = budgets.start(asked)
    for at in range(0, len(counts), 700):
        budget, standing = budgets.step(asked, budget, counts[at : at + 700], NOW)
    assert (standing.requests, standing.bad, standing.burns) == (expected.requests, expected.bad, expected.burns)
    for burn in standing.burns:
        for told, back_us in ((burn.long, burn.rule.long_us), (burn.short, burn.rule.short_us)):
            widths = [ring.width_us for ring in budget.rings if ring.width_us * budgets.USED_BINS >= back_us]
            exact = [count for count in counts if count.start_us >= (NOW - back_us) // widths[0] * widths[0]]
            assert widths[0] <= back_us / 2
            covered = min(1.0, (NOW - min(count.start_us for count in counts)) / back_us)
            assert told == pytest.approx(covered * sum(c.bad for c in exact) / sum(c.requests for c in exact) / 0.001)


def test_a_state_that_was_saved_goes_on_the_same() -> None:
    asked = slo()
    budget, _ = budgets.step(asked, budgets.start(asked), minutes(90, 100, 3), NOW)
    again = snapshot.load(Budget, snapshot.dump(budget))
    more = [Count(NOW, "2", 100, 1)]
    assert budgets.step(asked, again, more, NOW + MINUTE)[1] == budgets.step(asked, budget, more, NOW + MINUTE)[1]


def test_what_is_left_counts_the_whole_period_not_only_what_was_seen() -> None:
    """A ratio ten times too high for a tenth of the period is the whole budget; for an hour hardly anything."""
    whole = after(slo(), minutes(3 * 24 * 60, 100, 1))
    assert whole.left == pytest.approx(0.0, abs=1e-3)
    assert after(slo(), minutes(60, 100, 1)).left == pytest.approx(1 - 10 / 720)
    full = after(slo(window="1d"), minutes(24 * 60, 1000, 2))
    assert (full.covered_us, full.left) == (DAY_US, pytest.approx(-1.0))
    assert after(slo(), []).left == 1.0


def test_each_release_has_spent_its_part() -> None:
    counts = minutes(60, 100, 1, NOW - HOUR, "old") + minutes(60, 100, 3, NOW, "new")
    standing = after(slo(), counts)
    assert standing.spent["new"] == pytest.approx(3 * standing.spent["old"])
    assert sum(standing.spent.values()) == pytest.approx(1 - standing.left)
    crowd = [Count(NOW - (i + 1) * MINUTE, f"v{i}", 1, 1) for i in range(200)]
    assert set(after(slo(), crowd).spent) == {f"v{i}" for i in range(budgets.RELEASES_MAX)}


@pytest.mark.parametrize(
    ("hours", "bad", "alert"),
    [(1, 20, "PAGE"), (6, 8, "PAGE"), (24, 4, "TICKET"), (72, 2, "TICKET"), (72, 1, "NONE"), (1, 0, "NONE")],
)
def test_fast_burns_page_and_slow_ones_are_tickets(hours: int, bad: int, alert: str) -> None:
    quiet = minutes((80 - hours) * 60, 1000, 0, NOW - hours * HOUR)
    assert after(slo(), quiet + minutes(hours * 60, 1000, bad)).alert == alert


def test_the_first_minutes_alone_are_no_alert() -> None:
    assert after(slo(), minutes(1, 1000, 10)).alert == "NONE", "ten times the pace, but a minute of an hour"
    assert after(slo(), minutes(1, 1000, 900)).alert == "PAGE", "the budget of fifteen hours in a minute"


def test_little_traffic_has_no_burn_rate() -> None:
    quiet = [Count(NOW - 4 * DAY_US, "1", 1, 0)]
    few = [*quiet, *(Count(NOW - (i + 1) * 10 * MINUTE, "1", 1, 1) for i in range(6))]
    assert after(slo(), few).alert == "NONE"
    assert after(slo(min_bad=6), few).alert == "PAGE"
    assert after(slo(), [c for i in range(2) for c in few]).alert == "PAGE", "twelve bad ones are enough"


def test_an_alert_is_over_only_once_it_did_not_burn_for_its_short_lookback() -> None:
    asked = slo()
    budget, standing = budgets.step(asked, budgets.start(asked), minutes(4 * 24 * 60, 1000, 0), NOW)
    alerts: list[str] = []
    for i in range(90):
        at = NOW + i * MINUTE
        bad = 500 if 5 <= i < 8 or i == 14 else 0
        budget, standing = budgets.step(asked, budget, [Count(at, "1", 1000, bad)], at + MINUTE)
        alerts.append(standing.alert)
    changes = [
        (i, now) for i, (before, now) in enumerate(zip(["NONE", *alerts], alerts, strict=False)) if before != now
    ]
    # two minutes of half the requests are more than 14.4 times the budget of an hour; none in 12 and 13 end nothing
    assert changes == [(6, "PAGE"), (24, "NONE")]
    assert standing.since_us is None


@pytest.mark.parametrize(
    ("left", "pace", "says"),
    [
        (0.5, 1.0, None),
        (0.2, 2.0, "20 % of the error budget errors is left, below 40 % steps take longer"),
        (0.09, None, "9 % of the error budget errors is left, below 10 % nothing goes on"),
        (-1.0, None, "the error budget errors is spent (200 % of it), below 10 % nothing goes on"),
    ],
)
def test_a_low_budget_slows_and_then_holds(left: float, pace: float | None, says: str | None) -> None:
    limit = budgets.limit(ErrorBudget(slow_below=0.4, hold_below=0.1), "errors", left)
    assert (limit.pace if limit else 1.0, limit.reason if limit else None) == (pace, says)
    slow = budgets.limit(ErrorBudget(slow_below=0.4), "errors", -1.0)
    assert slow is not None
    assert slow.pace == budgets.PACE_MAX
    assert budgets.limit(ErrorBudget(), "errors", -9.0) is None, "only where the spec says so"
