"""The impurity of DATAFLOW's first prototype: what made it, that the production loop is free of it, and what it leads to.

The cause (docs/decisions.md): a batch that was fetched before a rebalance is handled after it, and a table is made from its
records, in the middle of a block. Each half alone does no harm.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from davy.bench import rows
from schemas.config import Config
from schemas.delta import CellKey, Cells, Progress, decode_delta
from streams.fold import Conflict, Fold
from streams.ingest import Ingest, Output, Reread, Run, Send
from streams.layout import Layout
from streams.rows import Rows
from tests.streams.cells import packed_cells
from tests.streams.chaos import DAVY, Chaos
from tests.streams.chaos_recount import Audit, audit, fates
from tests.streams.test_fold import cell

SOURCE = ("events", 0)
BLOCK, END, STALE = 1024, 1700, 1500
NOW_US = 1_790_000_000_000_000
ROUNDS, EVENTS_PER_S, SETTLE_S = 8, 8000, 6.0
DEEDS = (
    Chaos.kill_a_worker, Chaos.kill_both_workers, Chaos.kill_the_second_group, Chaos.freeze_beyond_the_session,
    Chaos.freeze_for_a_moment, Chaos.rebalance, Chaos.rebalance,
)  # fmt: skip
MUTANT = ("-m", "tests.streams.chaos_mutants")


def config() -> Config:
    made = Config()
    return made.model_copy(update={"limits": made.limits.model_copy(update={"block_records": BLOCK})})


ROWS = Rows.of(next(rows(END, 3, NOW_US))[0], ())


def run(start: int, end: int) -> Run:
    kafka_us = np.full(end - start, NOW_US, np.int64)
    return Run(SOURCE, start, kafka_us, ROWS, start, np.arange(end - start), np.empty(0, np.int64))


def told(outputs: list[Any]) -> dict[CellKey, Any]:
    """Cells that are sent, by key."""
    deltas = [decode_delta(output.value) for output in outputs if isinstance(output, Send)]
    return {found.key: found for delta in deltas if isinstance(delta, Cells) for found in delta.cells}


def after_a_rebalance(ingest: Ingest) -> list[Output | Any]:
    """What is told of the second block by who lost the partition, got it back, and then handles an old batch."""
    ingest.assigned(SOURCE, "t", 0)
    list(ingest.records(run(0, STALE), NOW_US))
    ingest.revoked(SOURCE)
    assert list(ingest.records(run(STALE, STALE + 100), NOW_US)) == []
    ingest.assigned(SOURCE, "t", BLOCK)
    stale = list(ingest.records(run(STALE + 100, END), NOW_US))
    if Reread(SOURCE, BLOCK) in stale:
        ingest.sought(SOURCE, BLOCK)
        stale += list(ingest.records(run(BLOCK, END), NOW_US))
    return [*stale, *ingest.tick(NOW_US)]


def test_a_batch_from_before_a_rebalance_is_not_counted() -> None:
    pure = Ingest(Layout.of(config()))
    pure.assigned(SOURCE, "t", BLOCK)
    expected = list(pure.records(run(BLOCK, END), NOW_US))
    expected += list(pure.tick(NOW_US))
    assert told(after_a_rebalance(Ingest(Layout.of(config())))) == told(expected)


def test_without_a_table_nothing_is_told() -> None:
    ingest = Ingest(Layout.of(config()))
    assert list(ingest.records(run(STALE, END), NOW_US)) == []
    assert list(ingest.tick(NOW_US)) == []


def test_an_impure_last_word_about_a_block_holds_the_frontier() -> None:
    """Why the prototype once did not catch up: nothing newer than a block's end can ever replace what was told at it."""
    fold = Fold("d", BLOCK)
    list(fold.cells(packed_cells(Cells("d", "t", 0, 0, BLOCK, (cell("a", 0, 2),)))))
    found = list(fold.cells(packed_cells(Cells("d", "t", 0, 0, BLOCK, (cell("a", 0, 5),)))))
    found += list(fold.progress(Progress("d", "t", 0, 0, BLOCK, 5, 5, 0, 0, 1, BLOCK, None, 0)))
    assert [type(outcome) for outcome in found] == [Conflict]
    assert fold.sources["t", 0].frontier == 0


@pytest.fixture
def audited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Audit]:
    """What eight rounds of rebalances leave on Kafka, with an ingest of that kind."""

    def rounds(mutant: str) -> Audit:
        monkeypatch.setattr("tests.streams.chaos.EVENTS_PER_S", EVENTS_PER_S)
        python = (*MUTANT, mutant) if mutant else DAVY
        folder = tmp_path / (mutant or "production")
        folder.mkdir()
        with Chaos(folder, 3, python, DEEDS, network=False) as chaos:
            time.sleep(SETTLE_S)
            for _ in range(ROUNDS):
                chaos.round()
            chaos.load.stop()
            time.sleep(SETTLE_S)
            for worker in chaos.wanted:
                worker.kill()
            return audit(chaos.config, fates(chaos.config))

    return rounds


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("alone")
def test_on_a_real_kafka_both_halves_together_are_impure(audited: Callable[[str], Audit]) -> None:
    assert audited("batches_from_before_a_rebalance").impure > 0
    for pure in ("", "table_from_records", "news_overtakes_batches"):
        found = audited(pure)
        assert (found.conflicts, found.impure) == (0, 0), pure
