"""Tripwires: what trips and frees them, and what the judgement then says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from analyzers import snapshot
from analyzers import trial as trials
from analyzers.case import Situation
from analyzers.judgement import Judgement, judge
from analyzers.trial import Trial
from schemas.spec import ExperimentSpec
from tests.analyzers.builders import EMPTY, ERRORS, arm, pair, spec

RISING = "{type: rising_errors, windows: 3}"
LENIENT = "{name: errors, type: error_ratio, max_increase: 50pp}"
SLOW = "{type: latency_limit, quantile: 50%, limit: 800ms, windows: 2}"


def answers(
    rule: str, windows: Sequence[tuple[int, int] | float | None], control_errors: int = 0, sli: str = LENIENT
) -> list[Judgement]:
    """The judgement after each window of the candidate: (rows, errors), a latency in ms, or nothing."""
    experiment = spec(sli, tripwires=(rule,))
    trial, found = trials.start(experiment, "canary"), list[Judgement]()
    for i, window in enumerate(windows):
        if window is None:
            candidate = EMPTY
        elif isinstance(window, tuple):
            candidate = arm(*window)
        else:
            candidate = arm(20, measures={"duration_us": np.full(20, 1000.0 * window)})
        trial = trials.step(trial, pair(i, candidate, arm(candidate.rows, control_errors)))
        found.append(judged(experiment, trial))
    return found


def judged(experiment: ExperimentSpec, trial: Trial) -> Judgement:
    return judge(experiment, trial, Situation(trial.seen_control_us or 0, 0, 1, True, 0, 0))


def held(found: Sequence[Judgement]) -> str:
    """A letter for each: H where a tripwire holds."""
    return "".join("H" if "tripwire" in answer.reason else "." for answer in found)


@pytest.mark.parametrize(
    ("errors", "holds"),
    [
        ([1, 2, 3, 4], "...H"),  # the first has none before it
        ([4, 4, 4, 4, 4], "....."),
        ([1, 2, 3, 3, 4, 5], "......"),
        ([1, 2, 3, 4, 4, 4], "...HHH"),
        ([1, 2, 3, 4, 4, 4, 4], "...HHH."),
    ],
)
def test_errors_that_rise_again_and_again_hold_until_as_many_windows_did_not(errors: list[int], holds: str) -> None:
    assert held(answers(RISING, [(100, failed) for failed in errors])) == holds


def test_what_rises_below_control_is_no_reason_and_silence_changes_nothing() -> None:
    assert held(answers(RISING, [(1000, failed) for failed in (1, 2, 3, 4)], control_errors=50)) == "...."
    assert held(answers(RISING, [(100, 1), (100, 2), None, (100, 3), (100, 4)])) == "....H"


def test_a_fixed_limit_of_latency_holds_at_once_and_says_what_it_saw() -> None:
    found = answers(SLOW, [900.0, 700.0, 900.0, 1000.0, 700.0, 700.0])
    assert held(found) == "...HH."
    assert (found[3].action, found[3].conclusion) == ("HOLD", "INCONCLUSIVE")
    assert found[3].reason.startswith("p50 of canary was above 800 ms in 2 windows in a row, last ")


def test_it_rolls_back_only_where_the_spec_says_that_it_leaves_alpha() -> None:
    rule = SLOW.replace("}", ", action: rollback_outside_alpha}")
    last = answers(rule, [900.0, 900.0])[-1]
    assert last.action == "ROLLBACK"
    assert last.reason.endswith("and the spec says action: rollback_outside_alpha")


def test_harm_is_said_before_a_tripwire() -> None:
    windows = [(1000, 100 + i) for i in range(6)]
    last = answers(RISING, windows, sli=ERRORS)[-1]
    assert (last.action, last.conclusion) == ("ROLLBACK", "HARM")


def test_the_state_survives_a_snapshot() -> None:
    experiment = spec(tripwires=(RISING, SLOW))
    trial = trials.start(experiment, "canary")
    for i in range(3):
        trial = trials.step(trial, pair(i, arm(100, i), arm(100, 0)))
    again = snapshot.load(Trial, snapshot.dump(trial))
    assert again.wires == trial.wires
    assert trial.wires[0].run == 2
    assert replace(trial.wires[0], run=0) != trial.wires[0]
