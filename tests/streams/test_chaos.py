"""Real processes on a real Kafka, killed, frozen and rebalanced behind a network that fails: the counts stay exact."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.streams.chaos import Chaos

ROUNDS, SEED = 3, 20261125
ROUNDS_FULL = 50
FIRST_S = 4.0
"""For everybody to come up before the first round."""


def rounds(folder: Path, seed: int, count: int) -> Chaos:
    with Chaos(folder, seed) as chaos:
        time.sleep(FIRST_S)
        for _ in range(count):
            chaos.round()
        chaos.settle()
        found = chaos.check()
        chaos.stop()
    assert found.wrong == [], f"seed {seed}, {dict(chaos.done)}"
    assert found.repeated > 0, "the groups never told the same range: nothing was compared"
    assert sum(ledger.produced for ledger in found.ledgers.values()) == chaos.load.produced
    return chaos


@pytest.mark.timeout(400)
@pytest.mark.usefixtures("alone")
def test_counts_stay_exact(tmp_path: Path) -> None:
    rounds(tmp_path, SEED, ROUNDS)


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("alone")
def test_counts_stay_exact_for_fifty_rounds(tmp_path: Path) -> None:
    rounds(tmp_path, SEED, ROUNDS_FULL)
