"""Workers come and go under load: who shares the partitions changes, what is counted does not."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.streams.chaos import Chaos
from tests.streams.chaos_recovery import shares
from tests.support.system import until

SEED, WAIT_S, WORK_S = 11, 60, 3.0


def shared_by(chaos: Chaos, workers: int) -> None:
    def shared() -> bool:
        found = shares(chaos.config)
        return len(found) == workers and sorted(p for its in found.values() for p in its) == [0, 1, 2, 3]

    until(shared, WAIT_S, f"{workers} workers shared all partitions")
    time.sleep(WORK_S)


@pytest.mark.full  # a minute; by default test_chaos kills workers of a group of two
@pytest.mark.timeout(400)
@pytest.mark.usefixtures("alone")
def test_one_then_three_then_two_workers(tmp_path: Path) -> None:
    with Chaos(tmp_path, SEED, network=False, workers=1, second_group=False) as chaos:
        shared_by(chaos, 1)
        for _ in range(2):
            chaos.workers.append(chaos.worker(chaos.first))
            chaos.workers[-1].start()
        shared_by(chaos, 3)
        assert chaos.workers.pop(0).stop() == 0  # the first, which had everything in the beginning
        shared_by(chaos, 2)
        chaos.settle()
        found = chaos.check()
        chaos.stop()
    assert found.wrong == []
    assert chaos.done["ended by itself"] == 0
    assert sum(ledger.produced for ledger in found.ledgers.values()) == chaos.load.produced
