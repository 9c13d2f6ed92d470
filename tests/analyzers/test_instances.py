"""What instances bear out: a burst of one is cut, what all share is not, and without all of them told nothing is."""

from __future__ import annotations

import json

import numpy as np
import pytest

from analyzers.arm import DURATION, ArmWindow, Instances, MeasureSum, PairWindow, SparseCounts
from analyzers.histogram import bin_of
from analyzers.instances import ALWAYS, INSTANCES_MIN, borne_out, slow_apart
from analyzers.piece import Piece, gather
from analyzers.snapshot import dump, load
from bench.judgement.promises import NEVER, NOTHING, run, spec
from bench.judgement.worlds import Effect, world

ROWS = 400


def kept(*errors: int, rows: int = ROWS) -> float:
    told = {str(i): (ROWS, failed, 0, 0) for i, failed in enumerate(errors)}
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
    assert borne_out(ArmWindow(rows=ROWS, errors=9), {}, 9.0) == 9
    weighted = {"a": (ROWS, 0, 0, 0), "b": (ROWS, 9, 0, 0), "c": (ROWS, 0, 0, 0)}
    assert borne_out(ArmWindow(rows=3 * ROWS, errors=9), weighted, 4.5) == 4.5


def piece(*candidate: float, rows: int = 100, told: int = 100) -> Piece:
    """Of three calm instances of control, and of the candidate's, whose requests take that many ms on average."""
    rng = np.random.default_rng(6)

    def arm(*levels: float) -> tuple[MeasureSum, Instances]:
        took = np.concatenate([rng.lognormal(np.log(1000 * level), 0.3, rows) for level in levels])
        keys, counts = np.unique(bin_of(took).astype(np.int64), return_counts=True)
        each = took.reshape(len(levels), rows).sum(axis=1)
        instances = {f"i{n}": (rows, 0, told, int(total)) for n, total in enumerate(each)}
        return MeasureSum(len(took), int(took.sum()), SparseCounts(keys, counts)), instances

    (control, of_control), (canary, of_canary) = arm(10, 10, 10), arm(*candidate)
    return Piece(0, 0, 0.5, control, canary, (of_control, of_canary))


def test_an_instance_that_is_slow_by_itself_stands_apart_and_a_slow_release_does_not() -> None:
    assert slow_apart(piece(10, 10, 10)) == (False, False)
    assert slow_apart(piece(10, 20, 10)) == (False, True)
    assert slow_apart(piece(20, 20, 20)) == (False, False)
    assert slow_apart(piece(10, 20)) == (False, False)  # of two nobody knows which one is odd
    assert slow_apart(piece(10, 20, 10, told=99)) == (False, False)  # some come without an instance


def test_a_piece_of_several_windows_knows_its_instances() -> None:
    one, other = piece(10, 20, 10), piece(10, 20, 10)
    windows = [
        PairWindow(i, i + 1, *(ArmWindow(measures={DURATION: arm}) for arm in (p.control, p.candidate)), 0.5, 0, True,
                   instances=p.instances) for i, p in enumerate((one, other))
    ]  # fmt: skip
    both = gather(gather(None, windows[0], DURATION), windows[1], DURATION)
    assert both is not None
    assert both.instances[1]["i1"] == tuple(2 * count for count in one.instances[1]["i1"])
    assert load(Piece, json.loads(json.dumps(dump(both)))).instances == both.instances


@pytest.mark.parametrize("sli", ["p99", "mean"])
def test_durations_of_pods_that_freeze_in_turn_are_no_harm_and_those_of_a_slow_release_are(sli: str) -> None:
    where = world("pods", steps=((0.5, 60),))
    asked = spec(where, NOTHING, sli)
    equal = [run(where, asked, seed, stop=True) for seed in range(20)]
    slower = [run(where, asked, seed, Effect(slower=1.25, since=10), stop=True) for seed in range(6)]
    assert sum(outcome.rollback < NEVER for outcome in equal) <= 1
    assert sum(0 <= outcome.rollback < NEVER for outcome in slower) == 6


def test_a_harm_of_all_instances_is_found_in_mid_run_while_some_freeze() -> None:
    where = world("pods", steps=((0.5, 60),))
    outcomes = [
        run(where, spec(where, NOTHING, "errors"), seed, Effect(errors=5, since=30), stop=True) for seed in range(6)
    ]
    assert sum(0 <= outcome.rollback < NEVER for outcome in outcomes) == 6
    assert max(outcome.rollback for outcome in outcomes) < 12
