"""From deltas to exact counts: what is verified of each source partition, and nothing else.

Ingest sends cells of log ranges and, beside them, how far it read and how many rows that makes (`Progress`). Cells are
kept by the largest `upto`; a range counts only once the rows of its cells add up to the rows that its progress names
and no cell is newer than that progress. Then every cell is exactly its content at that offset (rows within a cell grow
strictly, so equal sums at versions not beyond `upto` mean equal cells), whatever was lost, repeated or reordered on the
way. Both conditions are needed: without the second a newer cell can make up for a missing one.

Invariants: `frontier` only grows; folded blocks are never touched again; nothing here knows a clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from schemas.delta import Progress, Truncated
from schemas.frozen import frozen
from streams.deltas import PackedCell, PackedCells, labels_of

SourceKey = tuple[str, int]
"""Topic id and partition."""


@frozen()
class Counted:
    """Verified cells of the open block; each replaces what its source said of that key before."""

    source: SourceKey
    cells: list[PackedCell]


@frozen()
class Folded:
    """The open block of that source is complete: what was counted of it stays for good."""

    source: SourceKey


@frozen()
class Advanced:
    """The source's cut moved: its frontier, or the time up to which it is known to be idle."""

    source: SourceKey


@frozen()
class Conflict:
    """One identity with two contents: some ingest is not pure."""

    source: SourceKey
    block: int
    what: str


@frozen()
class Lost:
    """Offsets [start, end) of the source will never be counted."""

    source: SourceKey
    start: int
    end: int


@frozen()
class Foreign:
    """A delta of another layout: some ingest runs with another configuration."""

    digest: str


Outcome = Counted | Folded | Advanced | Conflict | Lost | Foreign


@dataclass(slots=True)
class Block:
    """Cells of one block by key, each at its largest `upto`; `changed` are those since the last cut."""

    cells: dict[bytes, PackedCell] = field(default_factory=dict[bytes, PackedCell])
    changed: dict[bytes, PackedCell] = field(default_factory=dict[bytes, PackedCell])
    rows: int = 0
    max_upto: int = 0
    progress: Progress | None = None


@dataclass(slots=True)
class Source:
    """One source partition. `next` is the first block not folded; times are UTC microseconds."""

    next: int
    frontier: int
    blocks: dict[int, Block] = field(default_factory=dict[int, Block])
    max_event_time: int | None = None
    wall_time: int = 0
    high_watermark: int = 0
    n_partitions: int = 0
    waiting_since: int | None = None
    """Recorded time at which progress came that could not be verified; None while all is verified."""
    heard: int = 0
    """Largest recorded time of any progress, verified or not."""

    @property
    def idle(self) -> bool:
        """Whether everything in the partition was counted when its progress was recorded."""
        return self.frontier >= self.high_watermark


class Fold:
    """State of one delta partition: every source partition's verified cut."""

    def __init__(self, digest: str, block_records: int) -> None:
        self.digest = digest
        self.block_records = block_records
        self.sources: dict[SourceKey, Source] = {}

    def cells(self, delta: PackedCells) -> Iterator[Outcome]:
        """Keep the newest version of every cell, then verify."""
        if delta.digest != self.digest:
            yield Foreign(delta.digest)
            return
        key = (delta.topic_id, delta.partition)
        source = self._source(key, delta.block)
        if delta.block < source.next:
            return
        block = source.blocks.setdefault(delta.block, Block())
        upto, cells = delta.upto, block.cells
        for cell in delta.cells:
            held = cells.get(cell.key)
            if held is not None:
                if held.upto >= upto:
                    if held.upto == upto and held.body != cell.body:
                        _, service, _, version, *_ = labels_of(cell.labels)
                        yield Conflict(key, delta.block, f"cell {service} {version} at {upto}")
                    continue
                block.rows -= held.seen
            block.rows += cell.seen
            cells[cell.key] = block.changed[cell.key] = cell
            block.max_upto = max(block.max_upto, upto)
        if block.changed:
            yield from self._verify(key, source)

    def progress(self, delta: Progress) -> Iterator[Outcome]:
        """Keep the furthest progress of its block, then verify."""
        if delta.digest != self.digest:
            yield Foreign(delta.digest)
            return
        key = (delta.topic_id, delta.partition)
        source = self._source(key, min(delta.block, delta.empty_from))
        source.n_partitions = max(source.n_partitions, delta.n_partitions)
        source.heard = max(source.heard, delta.wall_time)
        if delta.block < source.next:
            return
        block = source.blocks.setdefault(delta.block, Block())
        held = block.progress
        if held is not None and held.upto == delta.upto:
            if (held.rows_d, held.read, held.dead) != (delta.rows_d, delta.read, delta.dead):
                yield Conflict(key, delta.block, f"progress at {delta.upto}")
                return
            if held.wall_time >= delta.wall_time:
                return
        elif held is not None and held.upto > delta.upto:
            return
        block.progress = delta
        yield from self._verify(key, source)

    def truncated(self, delta: Truncated) -> Iterator[Outcome]:
        """End the open block at its last verified cut and go on behind the hole."""
        if delta.digest != self.digest:
            yield Foreign(delta.digest)
            return
        key = (delta.topic_id, delta.partition)
        source = self._source(key, delta.end // self.block_records)
        if delta.end <= source.frontier:
            return
        yield Folded(key)
        yield Lost(key, source.frontier, delta.end)
        source.next = max(source.next, delta.end // self.block_records)
        source.frontier = delta.end
        source.blocks = {k: block for k, block in source.blocks.items() if k >= source.next}
        yield from self._verify(key, source)

    def stuck(self, timeout_us: int) -> dict[SourceKey, int]:
        """Sources whose progress could not be verified for that long while more came, with their first open block."""
        return {
            key: source.next
            for key, source in sorted(self.sources.items())
            if source.waiting_since is not None and source.heard - source.waiting_since > timeout_us
        }

    def watermark(self, lateness_us: int) -> int | None:
        """Event time up to which all partitions of all topics are counted; None while one was never heard of."""
        known: dict[str, int] = {}
        for topic_id, _ in self.sources:
            known[topic_id] = known.get(topic_id, 0) + 1
        if not known or any(known[key[0]] < source.n_partitions for key, source in self.sources.items()):
            return None
        times = [source.wall_time if source.idle else source.max_event_time for source in self.sources.values()]
        known_times = [time for time in times if time is not None]
        return min(known_times) - lateness_us if len(known_times) == len(times) else None

    def _source(self, key: SourceKey, block: int) -> Source:
        source = self.sources.get(key)
        if source is None:
            source = self.sources[key] = Source(block, block * self.block_records)
        return source

    def _verify(self, key: SourceKey, source: Source) -> Iterator[Outcome]:
        before = source.frontier
        moved = False
        while True:
            self._skip_empty(source)
            block = source.blocks.get(source.next)
            if block is None or block.progress is None:
                break
            progress = block.progress
            if block.rows != progress.rows_d or block.max_upto > progress.upto:
                break
            if block.changed:
                yield Counted(key, list(block.changed.values()))
                block.changed.clear()
            moved = True
            source.frontier = progress.upto
            source.wall_time, source.high_watermark = progress.wall_time, progress.high_watermark
            if progress.max_event_time is not None:
                source.max_event_time = max(source.max_event_time or progress.max_event_time, progress.max_event_time)
            if progress.upto < (source.next + 1) * self.block_records:
                break
            del source.blocks[source.next]
            source.next += 1
            yield Folded(key)
        pending = any(b.progress is not None and b.progress.upto > source.frontier for b in source.blocks.values())
        if not pending:
            source.waiting_since = None
        elif source.frontier > before or source.waiting_since is None:
            source.waiting_since = source.heard
        if moved:
            yield Advanced(key)

    def _skip_empty(self, source: Source) -> None:
        """Pass over blocks that progress calls empty, unless a cell of theirs is held."""
        if source.next in source.blocks and source.blocks[source.next].cells:
            return
        ahead = [k for k, block in source.blocks.items() if k > source.next and block.progress is not None]
        for k in sorted(ahead):
            progress = source.blocks[k].progress
            if progress is None or progress.empty_from > source.next:
                continue
            if any(block.cells for j, block in source.blocks.items() if j < k):
                return
            for j in [j for j in source.blocks if j < k]:
                del source.blocks[j]
            source.next, source.frontier = k, k * self.block_records
            return
