"""The fold against a recount: whatever is lost, repeated, reordered or sent by a zombie, a verified cut is exact."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest

from schemas.delta import Cell, Cells, Progress, Truncated
from streams.deltas import PackedCell, PackedCells, labels_of
from streams.fold import Advanced, Conflict, Counted, Fold, Folded, Foreign, Lost
from tests.streams.cells import packed_cells, rows_of

B = 8
WINDOW = 5_000_000
Log = dict[int, tuple[str, int]]
"""Offset to (version, window); offsets that are missing are gaps of control records."""


def cell(version: str, window: int, seen: int) -> Cell:
    return Cell(
        "e", "s", "p", version, None, (), window, seen, seen, 0, 0, 0, 0, seen << 20, 0, 1 << 20, 1 << 20, 0, b"", b"",
        b"", (),
    )  # fmt: skip


def recount(log: Log, partition: int, start: int, upto: int) -> Counter[tuple[str, int]]:
    return Counter(log[offset] for offset in range(start, upto) if offset in log)


def emission(log: Log, partition: int, block: int, upto: int, wall: int) -> tuple[list[PackedCells], Progress]:
    """Everything that an ingest which starts anew says of one range; each cell in a message of its own."""
    counts = recount(log, partition, block * B, upto)
    cells = [
        packed_cells(Cells("d", "topic", partition, block, upto, (cell(version, window, n),)))
        for (version, window), n in counts.items()
    ]
    rows = sum(counts.values())
    empty_from = block
    while empty_from and not recount(log, partition, (empty_from - 1) * B, empty_from * B):
        empty_from -= 1
    return cells, Progress("d", "topic", partition, block, upto, rows, rows, 0, empty_from, 1, 10**6, None, wall)


class Recounted:
    """Applies outcomes the way the judge does and compares each cut with a recount."""

    def __init__(self, logs: dict[int, Log]) -> None:
        self.logs = logs
        self.folded: Counter[tuple[int, str, int]] = Counter()
        self.open: dict[int, dict[bytes, PackedCell]] = {}
        self.cuts = 0

    def take(self, fold: Fold, outcomes: object) -> None:
        for outcome in outcomes:  # pyright: ignore  # an iterator of outcomes
            match outcome:
                case Counted((_, p), cells):
                    self.open.setdefault(p, {}).update((found.key, found) for found in cells)
                case Folded((_, p)):
                    for found in self.open.pop(p, {}).values():
                        self.folded[p, labels_of(found.labels)[3], found.window] += rows_of(found)
                case Advanced((_, p)):
                    self.check(p, fold.sources["topic", p].frontier)
                case _:
                    raise AssertionError(f"nothing impure was sent, yet {outcome}")

    def check(self, p: int, frontier: int) -> None:
        self.cuts += 1
        held = Counter({key[1:]: n for key, n in self.folded.items() if key[0] == p})
        for found in self.open.get(p, {}).values():
            held[labels_of(found.labels)[3], found.window] += rows_of(found)
        assert held == recount(self.logs[p], p, 0, frontier)


def run(seed: int, make: Callable[[], Fold] = lambda: Fold("d", B)) -> int:
    """One schedule: emissions of several ingests at any `upto`, lost, repeated and shuffled; and everything once."""
    rng = random.Random(seed)
    logs: dict[int, Log] = {}
    for p in range(2):
        size = rng.randrange(1, 5 * B)
        empty = {rng.randrange(6)} if rng.random() < 0.3 else set[int]()
        logs[p] = {
            offset: (rng.choice("ab"), rng.randrange(2) * WINDOW)
            for offset in range(size)
            if rng.random() < 0.8 and offset // B not in empty
        }
    fold, recounted = make(), Recounted(logs)
    said: list[PackedCells | Progress] = []
    for wall in range(30):
        p = rng.randrange(2)
        last = max(logs[p], default=0) + 1
        block = rng.randrange((last - 1) // B + 1)
        upto = min(rng.randrange(block * B + 1, (block + 1) * B + 1), last if rng.random() < 0.5 else (block + 1) * B)
        cells, progress = emission(logs[p], p, block, upto, wall)
        said += [message for message in [*cells, progress] if rng.random() < 0.8]
    said += rng.choices(said, k=10) if said else []
    for p, log in logs.items():
        for block in range(max(log, default=-1) // B + 1):
            cells, progress = emission(log, p, block, (block + 1) * B, 1000)
            said += [*cells, progress]
    rng.shuffle(said)
    # A source is known from its first block on: as ingest does, begin with it.
    for p, log in logs.items():
        cells, progress = emission(log, p, 0, 1, 0)
        said[:0] = [*cells, progress]
    for message in said:
        recounted.take(fold, fold.cells(message) if isinstance(message, PackedCells) else fold.progress(message))
    for p, log in logs.items():
        assert fold.sources["topic", p].frontier >= max(log, default=-1) + 1
    return recounted.cuts


def test_every_cut_equals_a_recount() -> None:
    assert sum(run(seed) for seed in range(1500)) > 10_000


class AddsUp(Fold):
    """Mutant: trusts progress without the row check."""

    def progress(self, delta: Progress):
        block = self._source(("topic", delta.partition), delta.block).blocks.get(delta.block)
        return super().progress(Progress(**{**delta.to_avro(), "rows_d": block.rows if block else 0}))


class NoVersionCheck(Fold):
    """Mutant: rows are checked, versions are not."""

    def cells(self, delta: PackedCells):
        yield from super().cells(delta)
        for block in self._source(("topic", delta.partition), delta.block).blocks.values():
            block.max_upto = 0


class LastArrivalWins(Fold):
    """Mutant: an older version replaces a newer one."""

    def cells(self, delta: PackedCells):
        for block in self._source(("topic", delta.partition), delta.block).blocks.values():
            for held in block.cells.values():
                held.upto = -1
        yield from super().cells(delta)


@pytest.mark.parametrize("mutant", [AddsUp, NoVersionCheck, LastArrivalWins])
def test_mutants_are_caught(mutant: type[Fold]) -> None:
    def survives(seed: int) -> bool:
        try:
            run(seed, lambda: mutant("d", B))
        except AssertionError:
            return False
        return True

    assert not all(map(survives, range(3000)))


def test_two_contents_of_one_identity_are_a_conflict() -> None:
    fold = Fold("d", B)
    assert list(fold.cells(packed_cells(Cells("d", "topic", 0, 0, 3, (cell("a", 0, 2),))))) == []
    found = list(fold.cells(packed_cells(Cells("d", "topic", 0, 0, 3, (cell("a", 0, 3),)))))
    assert [type(outcome) for outcome in found] == [Conflict]
    list(fold.progress(Progress("d", "topic", 0, 0, 3, 2, 2, 0, 0, 1, 9, None, 0)))
    found = list(fold.progress(Progress("d", "topic", 0, 0, 3, 3, 3, 0, 0, 1, 9, None, 0)))
    assert [type(outcome) for outcome in found] == [Conflict]


def test_another_layout_is_foreign() -> None:
    assert list(Fold("d", B).cells(packed_cells(Cells("x", "topic", 0, 0, 3, ())))) == [Foreign("x")]


def test_a_gap_is_seen_once_progress_goes_on_without_the_rows() -> None:
    fold = Fold("d", B)
    list(fold.progress(Progress("d", "topic", 0, 0, 3, 3, 3, 0, 0, 1, 9, None, 1_000)))
    assert fold.stuck(5_000) == {}
    list(fold.progress(Progress("d", "topic", 0, 0, 3, 3, 3, 0, 0, 1, 9, None, 7_000)))
    assert fold.stuck(5_000) == {("topic", 0): 0}
    list(fold.cells(packed_cells(Cells("d", "topic", 0, 0, 3, (cell("a", 0, 3),)))))
    assert fold.stuck(5_000) == {}


def test_truncation_ends_the_block_at_its_last_cut() -> None:
    fold = Fold("d", B)
    list(fold.cells(packed_cells(Cells("d", "topic", 0, 0, 3, (cell("a", 0, 3),)))))
    list(fold.progress(Progress("d", "topic", 0, 0, 3, 3, 3, 0, 0, 1, 9, None, 0)))
    found = list(fold.truncated(Truncated("d", "topic", 0, 3, 2 * B)))
    assert found == [Folded(("topic", 0)), Lost(("topic", 0), 3, 2 * B)]
    assert (fold.sources["topic", 0].next, fold.sources["topic", 0].frontier) == (2, 2 * B)


def test_the_watermark_waits_for_every_partition() -> None:
    fold = Fold("d", B)
    list(fold.progress(Progress("d", "topic", 0, 0, 0, 0, 0, 0, 0, 2, 0, None, 50)))
    assert fold.watermark(10) is None
    list(fold.cells(packed_cells(Cells("d", "topic", 1, 0, 1, (cell("a", 0, 1),)))))
    list(fold.progress(Progress("d", "topic", 1, 0, 1, 1, 1, 0, 0, 2, 9, 30, 60)))
    assert fold.watermark(10) == 20  # the second partition is behind: its event time counts
    list(fold.progress(Progress("d", "topic", 1, 0, 1, 1, 1, 0, 0, 2, 1, 30, 90)))
    assert fold.watermark(10) == 40  # both idle: recorded time counts
