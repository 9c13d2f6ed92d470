"""Mutants of the protocol (DATAFLOW, section 8, and more): each breaks one rule, and the simulation must notice.

Each comes with the faults that must come more often for it to show soon.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from types import FunctionType
from typing import Any, cast
from unittest.mock import patch

from confluent_kafka import TopicPartition

from davy.raw_events import RawEvents
from davy.sink import SinkLoop
from davy.spool import Spool
from schemas.codec import long
from streams import aggregate, fold, ingest, judge, judge_loop, judge_state
from streams.deltas import PackedCell, PackedCells
from streams.fold import Block, Fold
from streams.ingest import Ingest
from streams.ingest_loop import IngestLoop
from streams.judge import Judge
from streams.judge_loop import JudgeLoop
from streams.judge_state import JudgeState
from streams.outbox import Outbox
from streams.reader import Commit
from streams.sinks.tables import TABLES, Table

Mutant = Callable[[], Any]


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

    def records(self: Ingest, run: Any, now_us: int) -> Any:
        table = self.tables.get(run.source)
        size, n = self.layout.block_records, len(run.kafka_us)
        if table is None or run.first_offset != table.position or n >= size:
            yield from original(self, run, now_us)
            return
        self._count(table, run, 0, n)  # pyright: ignore[reportPrivateUsage]
        table.position += n
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

    def restore(self: JudgeState, partition: int, settings: Any) -> Any:
        owned = original(self, partition, settings)
        if owned.next_offset:
            owned.next_offset += 3
        return owned

    original = JudgeState.restore
    return patch.object(JudgeState, "restore", restore)


def a_table_wherever_records_come_from() -> Any:
    """The prototype's fault: a jump is believed without reading again."""
    return _patched_source(ingest, Ingest, "records", "if not table.believe_jump:", "if False:")


def control_before_it_is_read_back() -> Any:
    """The owner applies a control record when it sees it, so that its order with the data is not the log's."""

    def copy(self: JudgeLoop, partition: int, owned: Any, copies: Any) -> None:
        original(self, partition, owned, copies)
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

    def add(self: Any, rows: Any, kafka_us: Any, pick: Any) -> Any:
        if len(kafka_us):
            kafka_us = kafka_us * 0 + kafka_us.max()
        return original(self, rows, kafka_us, pick)

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


def a_control_record_overtakes_a_lost_one() -> Any:
    """Whatever copy is newer is applied, though one before it never came."""
    chained = "delta.previous <= self.control_offset < delta.control_offset"
    return _patched_source(judge, Judge, "step", chained, "self.control_offset < delta.control_offset")


def lost_control_copies_are_not_copied_again() -> Any:
    """Each is copied once."""
    waits = "elif not missing or time.monotonic() - owned.copied_s < COPY_AGAIN_S:"
    return _patched_source(judge_loop, JudgeLoop, "_at_end", waits, "elif True:")


def partitions_are_counted_once() -> Any:
    """How many a source has is asked at the start only."""

    def refresh(self: IngestLoop) -> None:
        if not self.ingest.n_partitions:
            original(self)

    original = IngestLoop.refresh_partitions
    return patch.object(IngestLoop, "refresh_partitions", refresh)


def slots_for_arms_are_counted_anew_in_every_batch() -> Any:
    """So that who gets a cell depends on where batches end."""

    def add(self: Any, *arguments: Any) -> Any:
        self._t.p_arms[:] = 0
        return original(self, *arguments)

    original = aggregate.OpenBlock.add
    return patch.object(aggregate.OpenBlock, "add", add)


def a_watermark_without_lateness() -> Any:
    """Windows are closed as soon as time has passed them."""
    return _patched_source(fold, Fold, "watermark", "min(known_times) - lateness_us", "min(known_times)")


def every_partition_counts_as_idle() -> Any:
    """The time at which progress was told stands for the rows."""
    return patch.object(fold.Source, "idle", property(lambda self: True))


def an_epoch_that_is_the_saved_one_plus_one() -> Any:
    """Nothing is claimed in the log."""
    return patch.object(JudgeState, "_claim", lambda self, partition, epoch, base: (epoch, 1))


def a_word_before_its_epoch_is_known() -> Any:
    """A new judge speaks while the manifest that names its epoch still waits for the broker."""

    def settle(self: JudgeState, partition: int, owned: Any) -> None:
        self.save(partition, owned)

    return patch.object(JudgeState, "settle", settle)


def a_state_whose_digest_nobody_checks() -> Any:
    """The manifest's chunks are taken as they are."""
    checked = 'usable and hashlib.sha256(data).hexdigest() == manifest["digest"]'
    return _patched_source(judge_state, JudgeState, "restore", checked, "usable")


def a_state_newer_than_what_was_delivered() -> Any:
    """It is saved, often, while windows and verdicts from before still wait for the broker."""
    flush, often_s = Outbox.flush, 0.5
    stack = ExitStack()
    stack.enter_context(patch.object(judge_state, "STATE_EVERY_S", often_s))
    stack.enter_context(patch.object(Outbox, "flush", lambda self, seconds: seconds == often_s or flush(self, seconds)))
    return stack


def the_sink_commits_before_the_rows_are_stored() -> Any:
    """What it then fails to write is not read again."""

    def flush(self: SinkLoop) -> bool:
        places = [TopicPartition(*place, offset) for place, offset in self._held.next.items()]  # pyright: ignore[reportPrivateUsage]
        self._consumer.commit(offsets=places, asynchronous=True)  # pyright: ignore[reportPrivateUsage]
        return original(self)

    original = SinkLoop.flush
    return patch.object(SinkLoop, "flush", flush)


def raw_events_are_committed_before_they_are_kept() -> Any:
    """A crash between the two loses them."""

    def flush(self: RawEvents) -> None:
        self._commit()  # pyright: ignore[reportPrivateUsage]
        original(self)

    original = RawEvents.flush
    return patch.object(RawEvents, "flush", flush)


def raw_events_wait_for_nothing() -> Any:
    """Whatever the store refuses of them is gone, though there is room on the disk."""
    return patch.object(Spool, "put_raw", lambda self, rows: True)


def a_spool_that_keeps_nothing() -> Any:
    """What the store refused is gone, and the log goes on."""
    return patch.object(Spool, "put", lambda self, rows: True)


def a_file_of_the_spool_is_deleted_before_it_is_stored() -> Any:
    """A crash between the two loses it."""

    def oldest(self: Spool) -> Any:
        found = original(self)
        if found is not None:
            found[0].unlink(missing_ok=True)
        return found

    original = Spool.oldest
    return patch.object(Spool, "oldest", oldest)


def a_store_that_keeps_the_last_arrival() -> Any:
    """An old revision of a window that is written again replaces the new one."""
    return patch.dict(cast("dict[str, Table]", TABLES), {"windows": replace(TABLES["windows"], version=None)})


def _patched_source(module: Any, owner: Any, name: str, old: str, new: str) -> Any:
    """The method with a piece of its text replaced; fails where the text is not there any more."""
    text = textwrap.dedent(inspect.getsource(getattr(owner, name)))
    assert text.count(old) == 1, f"{name} has no single {old!r}: adapt the mutant"
    scope: dict[str, Any] = {}
    exec("from __future__ import annotations\n" + text.replace(old, new), scope)
    return patch.object(owner, name, FunctionType(scope[name].__code__, vars(module)))  # what is patched there is seen


OFTEN: dict[str, float] = {"crash": 0.02, "not delivered": 0.02, "delta repeated": 0.3}
LOSSY: dict[str, float] = {"delta lost": 0.02}
TORN: dict[str, float] = {"delta lost": 0.2, "crash": 0.0, "freeze": 0.0, "rebalance": 0.0}
HASTY: dict[str, float] = {"delta lost": 0.4, "crash": 0.02, "not delivered": 0.02}
UNTOLD: dict[str, float] = {"control copy lost": 0.1}
UNSTORED: dict[str, float] = {"store refuses": 0.2, "crash": 0.02}
REFUSING: dict[str, float] = {"store refuses": 0.3, "rebalance": 0.3, "freeze": 0.05}
ZOMBIES: dict[str, float] = {"freeze": 0.1, "rebalance": 0.05, "crash": 0.01}
MUTANTS: Mapping[Mutant, dict[str, float]] = {
    commit_before_delivery: OFTEN, commit_of_the_position: {}, no_rewind_after_a_delivery_error: OFTEN,
    adding_instead_of_replacing: {}, last_arrival_instead_of_largest_upto: OFTEN, block_of_the_batch: {},
    progress_trusted_without_the_row_check: LOSSY, row_check_without_the_version_check: TORN,
    state_and_offset_saved_apart: {}, a_table_wherever_records_come_from: {}, control_before_it_is_read_back: {},
    watermark_of_the_partitions_heard_of: {}, late_rows_counted_by_arrival: {}, truncation_untold: {},
    a_gap_is_forgotten_whenever_progress_comes: LOSSY, a_control_record_overtakes_a_lost_one: UNTOLD,
    lost_control_copies_are_not_copied_again: UNTOLD, partitions_are_counted_once: {},
    slots_for_arms_are_counted_anew_in_every_batch: {}, a_watermark_without_lateness: {}, every_partition_counts_as_idle: {},
    an_epoch_that_is_the_saved_one_plus_one: ZOMBIES, a_word_before_its_epoch_is_known: HASTY,
    a_state_whose_digest_nobody_checks: ZOMBIES | {"state lost": 0.02},
    a_state_newer_than_what_was_delivered: {"crash": 0.05}, the_sink_commits_before_the_rows_are_stored: UNSTORED,
    raw_events_are_committed_before_they_are_kept: UNSTORED, raw_events_wait_for_nothing: UNSTORED,
    a_spool_that_keeps_nothing: UNSTORED,
    a_file_of_the_spool_is_deleted_before_it_is_stored: UNSTORED, a_store_that_keeps_the_last_arrival: REFUSING,
}  # fmt: skip
