"""Thousands of seeded schedules of faults against a recount, and mutants of the protocol that must be caught by them."""

from __future__ import annotations

import inspect
import textwrap
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest
from confluent_kafka import TopicPartition

from schemas.codec import long
from streams import aggregate, fold, ingest
from streams.deltas import PackedCell, PackedCells
from streams.fold import Block, Fold
from streams.ingest import Ingest
from streams.ingest_loop import IngestLoop
from streams.judge_loop import JudgeLoop
from streams.reader import Commit
from tests.streams.simulation import FAULTS, World

CHUNKS, SEEDS = 6, 300
CHUNKS_FULL, SEEDS_FULL = 100, 10_000
MUTANT_SEEDS = 400
"""A mutant must show within so many schedules."""


def survive(seeds: range) -> tuple[int, Counter[str]]:
    """Run the schedules; verdicts that were recounted, and faults survived."""
    verdicts, faults = 0, Counter[str]()
    for seed in seeds:
        world = World(seed)
        try:
            world.run()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        verdicts += world.verdicts
        faults.update(world.broker.survived)
    return verdicts, faults


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_verdict_and_window_equals_a_recount(chunk: int) -> None:
    size = SEEDS // CHUNKS
    verdicts, faults = survive(range(chunk * size, (chunk + 1) * size))
    assert verdicts > 10 * size, "hardly anything was judged"
    assert set(faults) == set(FAULTS), "a fault never happened"


@pytest.mark.full
@pytest.mark.parametrize("chunk", range(CHUNKS_FULL))
def test_every_verdict_and_window_equals_a_recount_at_length(
    chunk: int, record_property: Callable[[str, object], None]
) -> None:
    size = SEEDS_FULL // CHUNKS_FULL
    verdicts, faults = survive(range(SEEDS + chunk * size, SEEDS + (chunk + 1) * size))
    record_property("verdicts", verdicts)
    record_property("faults", sum(faults.values()))
    assert verdicts > 10 * size


def test_a_schedule_is_repeatable() -> None:
    """A seed that fails can be looked at again."""
    histories: list[list[object]] = []
    for _ in range(2):
        world = World(7)
        world.run()
        histories.append(
            [(place, offset, entry.value) for place, offset, entry in world.broker.records("davy.verdicts")]
        )
    assert histories[0] == histories[1]


# -- mutants (DATAFLOW, section 8) ------------------------------------------------------------------------------------


def commit_before_delivery() -> Any:
    """What is counted is committed, acknowledged or not."""
    return patch.object(
        Ingest, "safe_offset", lambda self, source: self.tables[source].number * self.layout.block_records
    )


def commit_of_the_position() -> Any:
    """Not the block's start."""

    def commit(loop: IngestLoop) -> None:
        places = [TopicPartition(*s, t.position, loop.layout.digest) for s, t in loop.ingest.tables.items()]
        loop.reader.requests.append(Commit(places))

    return patch.object(IngestLoop, "_commit", commit)


def no_rewind_after_a_delivery_error() -> Any:
    """A failed message counts as delivered."""
    delivered = Ingest.delivered
    return patch.object(Ingest, "delivered", lambda self, token, failed: delivered(self, token, False))


def adding_instead_of_replacing() -> Any:
    """A newer version of a cell is added to the one before."""

    def cells(self: Fold, delta: PackedCells) -> Any:
        source = self._source((delta.topic_id, delta.partition), delta.block)  # pyright: ignore[reportPrivateUsage]
        held = source.blocks.get(delta.block, Block()).cells
        summed = [added(cell, held[cell.key]) if cell.key in held else cell for cell in delta.cells]
        yield from original(self, replace(delta, cells=summed))

    def added(cell: PackedCell, held: PackedCell) -> PackedCell:
        seen, rows = cell.seen + held.seen, cell.rows + held.rows
        rest = cell.body[len(long(cell.seen) + long(cell.rows)) :]
        return replace(cell, seen=seen, rows=rows, body=long(seen) + long(rows) + rest)

    original = Fold.cells
    return patch.object(Fold, "cells", cells)


def last_arrival_instead_of_largest_upto() -> Any:
    """Whatever came last holds."""

    def cells(self: Fold, delta: PackedCells) -> Any:
        source = self._source((delta.topic_id, delta.partition), delta.block)  # pyright: ignore[reportPrivateUsage]
        block = source.blocks.get(delta.block)
        if block is not None and delta.block >= source.next:
            for cell in delta.cells:
                held = block.cells.pop(cell.key, None)
                block.rows -= held.seen if held else 0
        yield from original(self, delta)

    original = Fold.cells
    return patch.object(Fold, "cells", cells)


def block_of_the_batch() -> Any:
    """A batch that crosses a block's end is counted in the block in which it began."""

    def records(self: Ingest, run: Any, rows: Any, now_us: int) -> Any:
        table = self.tables.get(run.source)
        size = self.layout.block_records
        if table is None or run.first_offset != table.position or len(run.place) >= size:
            yield from original(self, run, rows, now_us)
            return
        self._count(table, run.place, run.kafka_us, rows)  # pyright: ignore[reportPrivateUsage]
        table.position += len(run.place)
        table.believe_jump = table.seeking = False
        if table.position // size != table.number:
            yield from self._complete(run.source, table, table.position, now_us)  # pyright: ignore[reportPrivateUsage]

    original = Ingest.records
    return patch.object(Ingest, "records", records)


def progress_trusted_without_the_row_check() -> Any:
    """Progress alone moves the frontier."""
    return _patched_source(fold, Fold, "_verify", "block.rows != progress.rows_d or ", "")


def row_check_without_the_version_check() -> Any:
    """A newer cell may make up for a missing one."""
    return _patched_source(fold, Fold, "_verify", " or block.max_upto > progress.upto", "")


def state_and_offset_saved_apart() -> Any:
    """The manifest's offset is that of the moment at which it is written, not that of the state."""

    def restore(self: JudgeLoop, partition: int) -> Any:
        owned = original(self, partition)
        if owned.next_offset:
            owned.next_offset += 3
        return owned

    original = JudgeLoop._restore  # pyright: ignore[reportPrivateUsage]
    return patch.object(JudgeLoop, "_restore", restore)


def a_table_wherever_records_come_from() -> Any:
    """The prototype's fault: a jump is believed without reading again."""
    return _patched_source(ingest, Ingest, "records", "if not table.believe_jump:", "if False:")


def control_before_it_is_read_back() -> Any:
    """The owner applies a control record when it sees it, so that its order with the data is not the log's."""

    def copy(self: JudgeLoop, partition: int, copies: Any) -> None:
        original(self, partition, copies)
        for found in copies:
            for output in self.owned[partition].judge.step(found):
                self._publish(partition, output)  # pyright: ignore[reportPrivateUsage]

    original = JudgeLoop._copy  # pyright: ignore[reportPrivateUsage]
    return patch.object(JudgeLoop, "_copy", copy)


def watermark_of_the_partitions_heard_of() -> Any:
    """A partition that was never heard of does not hold the watermark back."""
    return _patched_source(
        fold,
        Fold,
        "watermark",
        "any(known[key[0]] < source.n_partitions for key, source in self.sources.items())",
        "False",
    )


def late_rows_counted_by_arrival() -> Any:
    """Lateness against the batch, not against the row's own Kafka timestamp."""

    def add(self: Any, rows: Any, kafka_us: Any) -> Any:
        if kafka_us is not None and len(kafka_us):
            kafka_us = kafka_us * 0 + kafka_us.max()
        return original(self, rows, kafka_us)

    original = aggregate.OpenBlock.add
    return patch.object(aggregate.OpenBlock, "add", add)


def truncation_untold() -> Any:
    """What retention took is passed over in silence."""
    return patch.object(Ingest, "truncated", lambda self, source, start: iter(()))


def a_gap_is_forgotten_whenever_progress_comes() -> Any:
    """The stuck clock starts anew with every record."""
    return _patched_source(
        fold, Fold, "_verify", "elif source.frontier > before or source.waiting_since is None:", "else:"
    )


def _patched_source(module: Any, owner: Any, name: str, old: str, new: str) -> Any:
    """The method with a piece of its text replaced; fails where the text is not there any more."""
    text = textwrap.dedent(inspect.getsource(getattr(owner, name)))
    assert text.count(old) == 1, f"{name} has no single {old!r}: adapt the mutant"
    scope: dict[str, Any] = {}
    exec("from __future__ import annotations\n" + text.replace(old, new), vars(module) | {}, scope)
    return patch.object(owner, name, scope[name])


OFTEN: dict[str, float] = {"crash": 0.02, "not delivered": 0.02, "delta repeated": 0.3}
LOSSY: dict[str, float] = {"delta lost": 0.02}
MUTANTS: dict[Callable[[], Any], dict[str, float]] = {
    commit_before_delivery: OFTEN, commit_of_the_position: {}, no_rewind_after_a_delivery_error: OFTEN,
    adding_instead_of_replacing: {}, last_arrival_instead_of_largest_upto: OFTEN, block_of_the_batch: {},
    progress_trusted_without_the_row_check: LOSSY, row_check_without_the_version_check: OFTEN | LOSSY,
    state_and_offset_saved_apart: {}, a_table_wherever_records_come_from: {}, control_before_it_is_read_back: {},
    watermark_of_the_partitions_heard_of: {}, late_rows_counted_by_arrival: {}, truncation_untold: {},
    a_gap_is_forgotten_whenever_progress_comes: LOSSY,
}  # fmt: skip
"""Each with the faults that must come more often for it to show soon."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_mutant_is_caught(mutant: Callable[[], Any]) -> None:
    """By a wrong count, a missing one, or code that can't go on."""
    with mutant():
        for seed in range(MUTANT_SEEDS):
            try:
                World(seed, {**FAULTS, "delta lost": 0.0, **MUTANTS[mutant]}).run()
            except Exception:
                return
    raise AssertionError(f"{mutant.__name__} was not noticed in {MUTANT_SEEDS} schedules")
