"""apdex against its definition."""

from __future__ import annotations

import numpy as np
import pytest

from analyzers.sli import Plan, Reading
from analyzers.slis.apdex import SLI
from tests.analyzers.builders import arm, pair, sli

PLAN = Plan(units=False, alpha=0.01, beta=0.05, steps=1, duration_us=600_000_000)
TEXT = "{name: a, type: apdex, target: 20ms, max_decrease: 5pp}"


def read(slower: float, units: bool = False) -> Reading:
    rng = np.random.default_rng(3)
    state = SLI.start(sli(TEXT), Plan(units, 0.01, 0.05, 1, 600_000_000))
    for i in range(40):
        arms = []
        for factor in (slower, 1.0):
            durations = rng.lognormal(9.7, 0.8, 500) * factor
            arms.append(arm(500, measures={"duration_us": durations}, buckets=rng.integers(0, 128, 500)))
        state = SLI.step(state, pair(i, arms[0], arms[1]))
    return SLI.read(state)


@pytest.mark.parametrize("units", [False, True])
def test_a_slower_candidate_is_harm_and_an_equal_one_safe(units: bool) -> None:
    worse, equal = read(1.6, units), read(1.0, units)
    assert worse.log_harm > np.log(1000)
    assert worse.effect is not None
    assert worse.effect < -0.05
    assert equal.log_harm < np.log(100)
    assert (equal.log_safety or 0) > np.log(20)
    assert equal.lower is not None
    assert equal.upper is not None
    assert -0.1 < equal.lower < 0 < equal.upper < 0.1


def test_it_is_apdex() -> None:
    state = SLI.start(sli(TEXT), PLAN)
    durations = np.array([10_000.0] * 60 + [40_000.0] * 30 + [200_000.0] * 10)
    state = SLI.step(
        state, pair(0, arm(100, measures={"duration_us": durations}), arm(100, measures={"duration_us": durations}))
    )
    reading = SLI.read(state)
    assert reading.baseline == pytest.approx(0.6 + 0.3 / 2)
    assert SLI.show(sli(TEXT), 0.75) == "0.750"
