"""Ingest with a fault, as a process: `python -m tests.streams.chaos_mutants MUTANT run ingest --config FILE`."""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections import deque
from collections.abc import Callable
from typing import Any

from davy.cli import main
from streams import ingest, reader
from streams.fetch import Fetched
from streams.ingest import Ingest
from streams.ingest_loop import IngestLoop
from streams.reader import Assigned, Reader, Revoked


def none() -> None:
    """The production loop."""


def table_from_records() -> None:
    """A partition without a table gets one at the first record that comes, wherever that is."""

    def records(self: Ingest, run: Any, *rest: Any) -> Any:
        if run.source not in self.tables:
            size, first = self.layout.block_records, run.first_offset
            self.assigned(run.source, TOPIC_IDS[run.source[0]], first // size * size)
            self.tables[run.source].position = first
        yield from original(self, run, *rest)

    original = Ingest.records
    Ingest.records = records
    _remember_topic_ids()


def table_from_records_only() -> None:
    """The same, and none is made at assignment."""
    table_from_records()
    assigned = IngestLoop._assigned  # pyright: ignore[reportPrivateUsage]

    def forget(self: IngestLoop, item: Any) -> None:
        assigned(self, item)
        self.ingest.revoked(item.source)

    IngestLoop._assigned = forget  # pyright: ignore[reportPrivateUsage]


def jumps_believed() -> None:
    """A jump ahead is believed without reading again."""
    _rewrite(Ingest, "records", "if not table.believe_jump:", "if False:", ingest)


def no_explicit_offset() -> None:
    """Assigned without an offset: the library begins where the group committed, or where the log begins."""
    _rewrite(Reader, "_assigned", "consumer.incremental_assign(chosen)", "consumer.incremental_assign(places)", reader)
    reader.READ_SETTINGS["auto.offset.reset"] = "earliest"


def batches_from_before_a_rebalance() -> None:
    """News of assignments is heard at once, while batches fetched before still wait; and tables come from records."""
    table_from_records()
    news_overtakes_batches()


def news_overtakes_batches() -> None:
    """News of assignments is heard at once, while batches fetched before still wait; tables are made at assignment only."""
    _remember_topic_ids()
    init, once = Reader.__init__, IngestLoop.once

    def with_items(self: Reader, *arguments: Any) -> None:
        init(self, *arguments)
        self.items = Overtaken()

    def turn(self: IngestLoop) -> None:
        self.reader.once()
        if len(self.reader.items) >= BATCHES_WAITING:
            once(self)
        else:
            self.producer.poll(0)

    Reader.__init__ = with_items
    IngestLoop.turn = turn


class Overtaken(deque[Any]):
    """The reader's queue, in which only batches wait."""

    def append(self, item: Any, /) -> None:
        loop = LOOP[0]
        if isinstance(item, Fetched) or loop is None:
            super().append(item)
        elif isinstance(item, Assigned):
            loop._assigned(item)  # pyright: ignore[reportPrivateUsage]
        elif isinstance(item, Revoked):
            loop.ingest.revoked(item.source)
            loop.committed.pop(item.source, None)
        else:
            loop.ingest.sought(item.source, item.offset)


BATCHES_WAITING = 3
TOPIC_IDS: dict[str, str] = {}
LOOP: list[IngestLoop | None] = [None]


def _remember_topic_ids() -> None:
    init = IngestLoop.__init__

    def remember(self: IngestLoop, *arguments: Any) -> None:
        init(self, *arguments)
        TOPIC_IDS.update(self.topic_ids)
        LOOP[0] = self

    IngestLoop.__init__ = remember


def _rewrite(owner: Any, name: str, old: str, new: str, module: Any) -> None:
    """The method with a piece of its text replaced; fails where the text is not there any more."""
    text = textwrap.dedent(inspect.getsource(getattr(owner, name)))
    assert text.count(old) == 1, f"{name} has no single {old!r}: adapt the mutant"
    scope: dict[str, Any] = {}
    exec("from __future__ import annotations\n" + text.replace(old, new), vars(module) | {}, scope)
    setattr(owner, name, scope[name])


MUTANTS: tuple[Callable[[], None], ...] = (
    none, table_from_records, table_from_records_only, jumps_believed, no_explicit_offset, news_overtakes_batches,
    batches_from_before_a_rebalance,
)  # fmt: skip


if __name__ == "__main__":
    chosen = sys.argv.pop(1)
    next(mutant for mutant in MUTANTS if mutant.__name__ == chosen)()
    main()
