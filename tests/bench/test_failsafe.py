"""A corner of the fail-safe matrix, on the same real parts; `python -m bench.failsafe` runs all of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.failsafe.cell import FAULT_S, Matrix
from bench.failsafe.faults import MODES, PARTS, Fault, pairs, singles
from bench.failsafe.system import System
from bench.failsafe.traffic import SERVICES

BRIEF_S = 4.0


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("alone")
def test_a_judge_that_is_frozen_while_the_rollout_is_killed_in_a_shift_changes_nothing(tmp_path: Path) -> None:
    with System(tmp_path, SERVICES) as system:
        matrix = Matrix(system)
        matrix.begin()
        seen = matrix.run([Fault("rollout", "killed"), Fault("judge", "frozen")], BRIEF_S)
        matrix.end()
    assert (seen.wrong, seen.promotions, seen.rollbacks) == ([], 0, 0)


@pytest.mark.full
@pytest.mark.timeout(400)
@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("part", ["broker", "ingest", "clickhouse", "proxy"])
def test_a_part_that_is_dead_for_half_a_minute_and_more_makes_deployers_hold(tmp_path: Path, part: str) -> None:
    with System(tmp_path, SERVICES) as system:
        matrix = Matrix(system)
        matrix.begin()
        seen = matrix.run([Fault(part, "killed")], FAULT_S)
        matrix.end()
    assert (seen.wrong, seen.promotions, seen.rollbacks) == ([], 0, 0)
    assert (seen.held_s is not None) == (part in ("broker", "ingest"))


def test_the_matrix_has_every_part_and_every_way_to_fail() -> None:
    alone = singles()
    assert {fault.part for fault in alone} == {*PARTS, "clock"}
    assert len(alone) == len(set(alone)) == len(PARTS) * len(MODES) - 1 + 4
    sample = list(pairs(100, 20261126))
    assert sample == list(pairs(100, 20261126))
    assert len(sample) == 100
    assert all(one.part != other.part for one, other in sample)
