"""A corner of the fail-safe matrix, on the same real parts; `python -m bench.failsafe` runs all of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.failsafe.cell import FAULT_S, Matrix
from bench.failsafe.faults import MODES, PARTS, Fault, pairs, singles
from bench.failsafe.system import System
from bench.failsafe.traffic import SERVICES
from tests.support.wrong_clock import WrongClock

BRIEF_S = 4.0
WAITS = """
import time
from confluent_kafka import Consumer
consumer = Consumer({"bootstrap.servers": "127.0.0.1:1", "group.id": "x", "log_level": 0})
for _ in range(2):
    begun = time.monotonic()
    consumer.poll(0.5)
    print(time.time(), time.monotonic() - begun, flush=True)
    input()
"""


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


def test_a_clock_that_is_set_tells_another_time_and_waits_last_as_long(tmp_path: Path) -> None:
    clock = WrongClock(tmp_path)
    command, environment = [sys.executable, "-c", WAITS], os.environ | clock.environment()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for off_s in (0, 3600):
            told_s, lasted_s = map(float, process.stdout.readline().split())
            assert abs(told_s - time.time() - off_s) < 30
            assert 0.4 < lasted_s < 20
            clock.off(3600)
            process.stdin.write("\n")
            process.stdin.flush()


def test_the_matrix_has_every_part_and_every_way_to_fail() -> None:
    alone = singles()
    assert {fault.part for fault in alone} == {*PARTS, "clock"}
    assert len(alone) == len(set(alone)) == len(PARTS) * len(MODES) - 1 + 4
    sample = list(pairs(100, 20261126))
    assert sample == list(pairs(100, 20261126))
    assert len(sample) == 100
    assert all(one.part != other.part for one, other in sample)
