"""Ingest's protocol (DATAFLOW, section 4), without I/O: what to send, seek and commit, and when.

Invariants, per assigned source partition:

* the open block's table is made at assignment, at exactly the offset that was assigned, and nowhere else;
* records are taken only at the expected position; a jump ahead, be it of records or of the partition's end, is believed only
  directly after a seek to that position;
* what is committed is the start of the first block that is not complete or has a message without a delivery report.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from schemas.delta import Progress, Truncated, cells_head, encode_delta, join_cells
from schemas.frozen import frozen
from streams.aggregate import OpenBlock, Rejected
from streams.layout import Layout
from streams.rows import Rows

Ints = npt.NDArray[np.int64]
Source = tuple[str, int]
"""Topic name and partition."""
TELL_BEHIND_US = 2_000_000
"""An open block of a partition that is a block or more behind is told that often."""
CELLS_PER_MESSAGE = 128
"""More are split over several records; each is valid by itself."""


@frozen()
class Send:
    """An encoded delta for one partition of the delta topic; its report goes to `Ingest.delivered` with `token`."""

    partition: int
    key: str
    value: bytes
    token: Token


@frozen()
class Token:
    """Which table, and which of its blocks, a message belongs to."""

    source: Source
    generation: int
    block: int


@frozen()
class Reread:
    """Seek to `offset` and read again; `Ingest.sought` confirms it."""

    source: Source
    offset: int


@frozen()
class Restart:
    """Something was not delivered: forget the partition, assign it again at `offset`."""

    source: Source
    offset: int


Output = Send | Reread | Restart


@frozen()
class Run:
    """Records of one source partition with consecutive offsets; `kafka_us` int64 (n,) are their Kafka timestamps.

    A record may have become any number of rows, from the `begin`th of `rows` on: `index` int64 (rows,), ascending, says of
    each which record (0 to n - 1) it came from. `dead` int64 (k,), ascending, names the record of each that did not decode.
    """

    source: Source
    first_offset: int
    kafka_us: Ints
    rows: Rows
    begin: int
    index: Ints
    dead: Ints


@dataclass(slots=True)
class Table:
    """One assigned partition."""

    topic_id: str
    generation: int
    position: int
    number: int
    """Of the open block."""
    empty_from: int
    block: OpenBlock
    undecodable: int = 0
    """Rows of the open block that did not decode (of a record that did not decode at all: one)."""
    waiting: dict[int, int] = field(default_factory=dict[int, int])
    """Messages without a delivery report, by block."""
    believe_jump: bool = False
    seeking: bool = False
    high_watermark: int = 0
    told_us: int = 0
    """When it was last told of."""


class Ingest:
    """All partitions that this process reads."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.digest = layout.digest
        self.tables: dict[Source, Table] = {}
        self.n_partitions: dict[str, int] = {}
        self.counted = 0
        self._generation = 0

    # -- assignment ----------------------------------------------------------------------------------------------

    def assigned(self, source: Source, topic_id: str, offset: int) -> None:
        """Begin at `offset`, a multiple of the block size."""
        if offset % self.layout.block_records:
            raise ValueError(f"{source[0]}/{source[1]}: {offset} is not the start of a block")
        self._generation += 1
        number = offset // self.layout.block_records
        self.tables[source] = Table(topic_id, self._generation, offset, number, number, OpenBlock.start(self.layout))

    def position(self, source: Source) -> int:
        """Next offset to be counted; -1 where the partition is not ours."""
        table = self.tables.get(source)
        return -1 if table is None else table.position

    def revoked(self, source: Source) -> None:
        """Forget the partition; whoever reads it next begins where we committed."""
        self.tables.pop(source, None)

    def sought(self, source: Source, offset: int) -> None:
        """The reader went back to `offset`: what comes next comes directly after a seek."""
        table = self.tables.get(source)
        if table is not None and table.position == offset:
            table.believe_jump, table.seeking = True, False

    # -- records -------------------------------------------------------------------------------------------------

    def records(self, run: Run, now_us: int) -> Iterator[Output | tuple[int, Rejected]]:
        """Count a run; gives what to send, and (offset, rejected row) for the dead letters."""
        table = self.tables.get(run.source)
        if table is None:
            return
        skip = max(0, table.position - run.first_offset)
        n = len(run.kafka_us)
        if skip >= n:
            return
        first = run.first_offset + skip
        if first > table.position:
            if not table.believe_jump:
                if not table.seeking:
                    table.seeking = True
                    yield Reread(run.source, table.position)
                return
            yield from self._pass_over(run.source, table, first, now_us)
        table.believe_jump = table.seeking = False
        size = self.layout.block_records
        start = skip
        while start < n:
            end = min(n, start + (table.position // size + 1) * size - table.position)
            for record, rejected in self._count(table, run, start, end):
                yield run.first_offset + record, rejected
            table.position += end - start
            start = end
            if table.position % size == 0:
                yield from self._complete(run.source, table, table.position, now_us)

    def _count(self, table: Table, run: Run, start: int, end: int) -> list[tuple[int, Rejected]]:
        """Count the rows of records `start` to `end`, which lie in the open block; rejected rows with their record."""
        died = np.searchsorted(run.dead, (start, end))
        table.undecodable += int(died[1] - died[0])
        low, high = np.searchsorted(run.index, (start, end)).tolist()
        if low == high:
            return []
        record = run.index[low:high]
        rejected = table.block.add(
            run.rows, run.kafka_us[record], np.arange(run.begin + low, run.begin + high, dtype=np.int64)
        )
        self.counted += high - low
        return [(int(record[reject.row]), reject) for reject in rejected]

    def ended(self, source: Source, offset: int, now_us: int) -> Iterator[Output]:
        """The end of the partition was reached at `offset`: told directly after a seek, nothing countable lies before it."""
        table = self.tables.get(source)
        if table is None:
            return
        table.high_watermark = max(table.high_watermark, offset)
        if offset > table.position and table.believe_jump:
            yield from self._pass_over(source, table, offset, now_us)
        elif offset > table.position and not table.seeking:
            table.seeking = True
            yield Reread(source, table.position)
        table.believe_jump = False

    def out_of_range(self, source: Source) -> Iterator[Output]:
        """What should be read next is not in the log any more: whoever seeks there finds out what is."""
        table = self.tables.get(source)
        if table is not None:
            table.seeking = True
            yield Reread(source, table.position)

    def _pass_over(self, source: Source, table: Table, offset: int, now_us: int) -> Iterator[Output]:
        """A true gap up to `offset`: control records, compacted or aborted ones."""
        end = (table.number + 1) * self.layout.block_records
        if offset >= end:
            table.position = end
            yield from self._complete(source, table, offset, now_us)
        table.position = offset

    def _complete(self, source: Source, table: Table, offset: int, now_us: int) -> Iterator[Output]:
        """The open block is read to its end: tell it for the last time, and open the one that holds `offset`."""
        yield from self._tell(source, table, now_us)
        table.empty_from = table.number + 1
        table.number = offset // self.layout.block_records
        table.block, table.undecodable = OpenBlock.start(self.layout), 0

    # -- telling -------------------------------------------------------------------------------------------------

    def tick(self, now_us: int) -> Iterator[Output]:
        """Every half second: changed cells, then progress, of every partition. One that is far behind tells its blocks as they
        are completed, and only now and then an open one: what follows at once need not be told twice."""
        for source, table in self.tables.items():
            behind = table.high_watermark - table.position >= self.layout.block_records
            if not behind or now_us - table.told_us >= TELL_BEHIND_US:
                yield from self._tell(source, table, now_us)

    def _tell(self, source: Source, table: Table, now_us: int) -> Iterator[Output]:
        upto, number, table.told_us = table.position, table.number, now_us
        token = Token(source, table.generation, number)
        where = (self.digest, table.topic_id, source[1], number, upto)
        head, rows_d = cells_head(*where), table.block.rows_d
        for d in range(self.layout.delta_partitions):
            for group in table.block.changed_groups(CELLS_PER_MESSAGE, d):
                yield self._counted(table, Send(d, group.key, join_cells(head, group.cells, group.body), token))
        dead = table.block.dead + table.undecodable
        for d in range(self.layout.delta_partitions):
            progress = Progress(
                *where, rows_d=rows_d[d], read=sum(rows_d) + dead, dead=dead, empty_from=table.empty_from,
                n_partitions=self.n_partitions.get(source[0], 1), high_watermark=max(table.high_watermark, upto),
                max_event_time=table.block.max_event_time, wall_time=now_us,
            )  # fmt: skip
            yield self._counted(table, Send(d, "progress", encode_delta(progress), token))

    def _counted(self, table: Table, send: Send) -> Send:
        table.waiting[send.token.block] = table.waiting.get(send.token.block, 0) + 1
        return send

    def truncated(self, source: Source, start: int) -> Iterator[Send]:
        """Tell every delta partition that retention took the offsets from `start` to where the partition begins now."""
        table = self.tables[source]
        token = Token(source, table.generation, start // self.layout.block_records)
        gone = encode_delta(Truncated(self.digest, table.topic_id, source[1], start, table.position))
        for d in range(self.layout.delta_partitions):
            yield self._counted(table, Send(d, "truncated", gone, token))

    # -- delivery ------------------------------------------------------------------------------------------------

    def delivered(self, token: Token, failed: bool) -> Restart | None:
        """A delivery report; after a failure the partition begins again at what is safe."""
        table = self.tables.get(token.source)
        if table is None or table.generation != token.generation:
            return None
        if failed:
            return Restart(token.source, self.safe_offset(token.source))
        left = table.waiting[token.block] - 1
        if left:
            table.waiting[token.block] = left
        else:
            del table.waiting[token.block]
        return None

    def safe_offset(self, source: Source) -> int:
        """Start of the first block that is not complete or not acknowledged."""
        table = self.tables[source]
        return min([table.number, *table.waiting]) * self.layout.block_records
