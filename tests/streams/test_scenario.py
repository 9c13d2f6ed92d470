"""Scenarios are found, and their specs are ordinary ones."""

from __future__ import annotations

import pytest

from schemas.errors import UserError
from streams.scenario import load, names

WINDOW_US = 5_000_000


def test_all_scenarios_of_the_demo_are_there() -> None:
    assert {"healthy", "errors", "no-traffic", "mismatch", "blip"} <= set(names())


@pytest.mark.parametrize("name", names())
def test_specs_are_ordinary_and_their_steps_are_whole_windows(name: str) -> None:
    scenario = load(name)
    assert scenario.name == name
    assert scenario.spec.id == f"demo-{name}"
    assert scenario.summary
    assert all(step.duration_us % WINDOW_US == 0 for step in scenario.spec.steps)


def test_an_unknown_scenario_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"no scenario named 'storm'.*healthy"):
        load("storm")
