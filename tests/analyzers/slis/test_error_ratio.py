"""error_ratio end to end over windows."""

from __future__ import annotations

import pytest

from analyzers.arm import PairWindow
from analyzers.sli import Plan, Reading
from analyzers.slis.error_ratio import SLI
from tests.analyzers.builders import arm, pair, sli

PLAN = Plan(units=False, alpha=0.01, beta=0.05, steps=1, duration_us=600_000_000)


def read(text: str, *windows: PairWindow) -> Reading:
    state = SLI.start(sli(f"{{name: e, type: error_ratio, max_increase: {text}}}"), PLAN)
    for window in windows:
        state = SLI.step(state, window)
    return SLI.read(state)


def test_rates_are_matched_by_window_not_pooled() -> None:
    """Simpson: both arms fail alike in each window, the mix of windows differs."""
    windows = [pair(0, arm(10, 1), arm(990, 99)), pair(1, arm(500, 5), arm(500, 5))]
    reading = read("0.5pp", *windows)
    assert reading.effect == pytest.approx(0, abs=1e-12)
    assert read("10%", *windows).effect == pytest.approx(0, abs=1e-12)


def test_units_of_effect_follow_the_tolerance() -> None:
    windows = [pair(i, arm(1000, 20), arm(1000, 10)) for i in range(20)]
    assert read("0.5pp", *windows).effect == pytest.approx(0.01)
    assert read("50%", *windows).effect == pytest.approx(1.0)


def test_an_infinite_ratio_is_null() -> None:
    reading = read("50%", *[pair(i, arm(1000, 20), arm(1000, 0)) for i in range(5)])
    assert reading.effect is None
    assert reading.lower is not None
    assert reading.lower > 1
    assert reading.log_harm > 5


def test_no_errors_at_all_become_safe_for_an_absolute_margin_only() -> None:
    windows = [pair(i, arm(1000, 0), arm(1000, 0)) for i in range(5)]
    assert (read("0.5pp", *windows).log_safety or 0) > 3
    relative = read("10%", *windows)
    assert relative.log_safety == pytest.approx(0)
    assert relative.needed is not None


def test_needed_falls_as_evidence_grows() -> None:
    few = read("0.5pp", *[pair(i, arm(100, 1), arm(100, 1)) for i in range(3)])
    more = read("0.5pp", *[pair(i, arm(100, 1), arm(100, 1)) for i in range(20)])
    assert few.needed is not None
    assert more.needed is not None
    assert more.needed < few.needed
