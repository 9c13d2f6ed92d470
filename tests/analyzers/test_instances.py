"""What instances bear out: a burst of one is cut, what all share is not, and without all of them told nothing is."""

from __future__ import annotations

from analyzers.arm import ArmWindow
from analyzers.instances import ALWAYS, INSTANCES_MIN, borne_out
from bench.judgement.promises import NEVER, NOTHING, run, spec
from bench.judgement.worlds import Effect, world

ROWS = 400


def kept(*errors: int, rows: int = ROWS) -> float:
    told = tuple((ROWS, failed) for failed in errors)
    return borne_out(ArmWindow(rows=rows * len(errors), errors=sum(errors)), told, float(sum(errors)))


def test_a_burst_of_one_instance_is_cut_whichever_it_is() -> None:
    assert 5 < kept(2, 2, 40, 1) == kept(40, 1, 2, 2) < 15
    assert kept(0, 0, 40, 0) <= ALWAYS + 1
    assert kept(0, 0, 2, 0) == 2


def test_what_all_instances_share_is_believed_at_once() -> None:
    assert kept(40, 42, 38, 45) == 165


def test_all_count_where_not_every_row_is_told_apart_or_there_are_few() -> None:
    assert kept(2, 2, 40, 1, rows=ROWS + 1) == 45
    assert kept(40, *[0] * (INSTANCES_MIN - 2)) == 40
    assert borne_out(ArmWindow(rows=ROWS, errors=9), (), 9.0) == 9
    weighted = ((ROWS, 0), (ROWS, 9), (ROWS, 0))
    assert borne_out(ArmWindow(rows=3 * ROWS, errors=9), weighted, 4.5) == 4.5


def test_a_harm_of_all_instances_is_found_in_mid_run_while_some_freeze() -> None:
    where = world("pods", steps=((0.5, 60),))
    outcomes = [
        run(where, spec(where, NOTHING, "errors"), seed, Effect(errors=5, since=30), stop=True) for seed in range(6)
    ]
    assert sum(0 <= outcome.rollback < NEVER for outcome in outcomes) == 6
    assert max(outcome.rollback for outcome in outcomes) < 12
