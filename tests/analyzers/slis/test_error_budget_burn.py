"""error_budget_burn is the error ratio in another unit."""

from __future__ import annotations

import pytest

from analyzers.sli import Plan
from analyzers.slis import error_ratio
from analyzers.slis.error_budget_burn import SLI
from tests.analyzers.builders import Traffic, sli

PLAN = Plan(units=False, alpha=0.01, beta=0.05, steps=3, duration_us=600_000_000, objective=0.995)


def test_a_pace_of_one_is_what_the_objective_leaves() -> None:
    burn = SLI.start(sli("{name: b, type: error_budget_burn, max_increase: 2}"), PLAN)
    ratio = error_ratio.SLI.start(sli("{name: e, type: error_ratio, max_increase: 1pp}"), PLAN)
    for window in Traffic(ratio=2.0).windows(3):
        burn, ratio = SLI.step(burn, window), error_ratio.SLI.step(ratio, window)
    mine, its = SLI.read(burn), error_ratio.SLI.read(ratio)
    assert mine.log_harm == pytest.approx(its.log_harm)
    assert mine.baseline == pytest.approx((its.baseline or 0) / 0.005)
    assert mine.effect == pytest.approx((its.effect or 0) / 0.005)
    assert SLI.show(sli("{name: b, type: error_budget_burn}"), 2.5) == "2.5x the budget"
