"""What is usual at a time: learnt from two days, or a week ago, or the last two hours; a spike is not."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import pytest

from analyzers import snapshot
from analyzers.usual import Usual

MINUTE_US, HOUR_US, DAY_US = 60_000_000, 3_600_000_000, 86_400_000_000
BEGIN_US = 20_000 * DAY_US


def seen(hours: float, level: Callable[[float], float], worse: float = -1.0) -> Usual:
    """After a value a minute for so many hours; `level` of the hour since midnight of the first day."""
    usual = Usual(worse)
    for minute in range(int(60 * hours)):
        usual = usual.step(BEGIN_US + minute * MINUTE_US, level(minute / 60))
    return usual


def shop(hour: float) -> float:
    """Open from 8 to 20 h."""
    return 100.0 if 8 <= hour % 24 < 20 else 10.0


@pytest.mark.parametrize(("days", "known"), [(1, 100.0), (2, 10.0), (6, 10.0)])
def test_closing_time_is_usual_once_it_was_seen_on_two_days(days: int, known: float) -> None:
    at = 24 * days + 19.95
    assert seen(at, shop).bound(BEGIN_US + int(at * HOUR_US)) == known


def test_a_gap_leaves_each_quarter_at_its_time() -> None:
    """Nothing is seen from 12 h to 23 h of the third day, as while an experiment has the traffic."""
    usual = Usual(-1.0)
    for minute in range(3 * 1440):
        if not 60 <= minute - 2 * 1440 - 11 * 60 < 720:
            usual = usual.step(BEGIN_US + minute * MINUTE_US, shop(minute / 60))
    for hour, known in ((3 * 24 + 19.95, 10.0), (3 * 24 + 15.0, 100.0)):
        assert usual.bound(BEGIN_US + int(hour * HOUR_US)) == known
    assert usual.step(BEGIN_US, 0.0) == usual, "what was before is no news"


def test_what_is_usual_at_eight_is_not_at_three() -> None:
    at = 24 * 5 + 15.0
    assert seen(at, shop).bound(BEGIN_US + int(at * HOUR_US)) == 100.0


def test_a_weekly_batch_is_usual_from_the_second_week_on() -> None:
    def errors(hour: float) -> float:
        return 0.05 if hour % 168 < 1 else 0.005

    for weeks, known in ((0, math.nan), (1, 0.05), (2, 0.05)):
        at = 168 * weeks + 0.5
        found = seen(at, errors, worse=1.0).bound(BEGIN_US + int(at * HOUR_US))
        assert found == pytest.approx(known, nan_ok=True)


def test_after_a_burst_the_level_of_most_of_two_hours_is_usual() -> None:
    usual = seen(3.5, lambda hour: 400.0 if hour >= 3.25 else 100.0)
    assert usual.bound(BEGIN_US + int(3.5 * HOUR_US)) == 100.0


def test_a_spike_of_a_window_is_not_usual_even_if_it_comes_every_day() -> None:
    usual = Usual(1.0)
    for window in range(4 * 17_280):
        usual = usual.step(BEGIN_US + window * 5_000_000, 0.9 if window % 17_280 == 10_000 else 0.005)
    assert usual.bound(BEGIN_US + 4 * DAY_US + 10_000 * 5_000_000) == 0.005


def test_kept_and_taken_back_it_goes_on_the_same() -> None:
    usual = seen(50.3, shop)
    again = snapshot.load(Usual, json.loads(json.dumps(snapshot.dump(usual))))
    at = BEGIN_US + int(67.95 * HOUR_US)
    for minute in range(int(50.3 * 60), int(67.95 * 60)):
        time_us = BEGIN_US + minute * MINUTE_US
        usual, again = usual.step(time_us, shop(minute / 60)), again.step(time_us, shop(minute / 60))
    assert again.bound(at) == usual.bound(at)
    assert math.isnan(Usual(1.0).bound(at))
