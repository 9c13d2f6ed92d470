"""What each segment, endpoint and instance adds to the windows of an experiment or service: enough to tell whose a change
is, and whether what is said of an arm hangs on one producer.

Evidence is kept by version and variant alone (`streams.windows`): to keep it by segment, too, would take as many times the
memory as there are segments. Here each value of each configured dimension has, by label (version and variant), four sums a
window (rows, errors, timed rows, their total duration), counted when a block is complete, from the same cells. A value has
sums of its newest `PLACES` windows; once there are `parts_max` values, further ones are not told apart (their rows are in the
totals, so what is said of the others stays right).
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterator, Mapping
from typing import Generic, TypeVar

from analyzers.arm import Counts, added
from analyzers.attribution import Ratio
from schemas.sli import SliSpec

PARTS_MAX = 4096
"""Values told apart in all, by label; some 10 KB each."""
PLACES = 256
"""Windows of one value that have sums: a question of the watch asks of fewer."""
COUNTS = 4
STRIDE = 1 + COUNTS
"""Start of the window, then its sums."""

Group = TypeVar("Group", bound=Hashable)
Value = tuple[int, str]
"""Which dimension, and its value."""
Label = tuple[str, str | None]
"""Version and variant."""
Part = tuple[int, str, Label]
"""Which dimension, its value, and whose."""
Levels = dict[str | None, Ratio]
TIMED = frozenset({"latency_mean", "latency_quantile", "apdex"})
"""Types whose parts are told by mean duration."""
FAILING = frozenset({"error_ratio", "error_budget_burn"})
SHARED = frozenset({"throughput"})
"""Levels of whose values add up."""


class Parts(Generic[Group]):
    """Sums by group, part and window."""

    def __init__(self, length_us: int, parts_max: int = PARTS_MAX) -> None:
        self.length_us = length_us
        self.parts_max = parts_max
        self._held: dict[Group, dict[Part, array[int]]] = {}
        self._values = 0

    def add(
        self, group: Group, window: int, label: Label, dimensions: tuple[str | None, ...], counts: Counts
    ) -> None:  # fmt: skip
        """What a cell of a complete block holds."""
        for place, value in enumerate(dimensions):
            if value is not None and (sums := self._sums(group, (place, value, label))) is not None:
                self._count(sums, window, counts)

    def _sums(self, group: Group, part: Part) -> array[int] | None:
        held = self._held.setdefault(group, {})
        sums = held.get(part)
        if sums is None and self._values < self.parts_max:
            sums = held[part] = array("q", bytes(8 * PLACES * STRIDE))
            self._values += 1
        return sums

    def _count(self, sums: array[int], window: int, counts: Counts) -> None:
        at = window // self.length_us % PLACES * STRIDE
        if sums[at] != window:
            if sums[at] > window:
                return  # a window that is gone
            sums[at : at + STRIDE] = array("q", (window, 0, 0, 0, 0))
        for place, count in enumerate(counts, at + 1):
            sums[place] += count

    def between(self, group: Group, start_us: int, end_us: int) -> dict[Value, Counts]:
        """Sums over the windows that start within [start_us, end_us)."""
        found: dict[Value, Counts] = {}
        for (place, value, _), _, counts in self.each(group, start_us, end_us):
            found[place, value] = added(found.get((place, value)), counts)
        return found

    def each(self, group: Group, start_us: int, end_us: int) -> Iterator[tuple[Part, int, Counts]]:
        """Sums of every part in every window that starts within [start_us, end_us)."""
        for part, sums in self._held.get(group, {}).items():
            for at in range(0, len(sums), STRIDE):
                if start_us <= sums[at] < end_us and sums[at + 1]:
                    yield part, sums[at], (sums[at + 1], sums[at + 2], sums[at + 3], sums[at + 4])

    def at(self, group: Group, window: int) -> Iterator[tuple[Part, Counts]]:
        """The same in one window."""
        place = window // self.length_us % PLACES * STRIDE
        for part, sums in self._held.get(group, {}).items():
            if sums[place] == window and sums[place + 1]:
                yield part, (sums[place + 1], sums[place + 2], sums[place + 3], sums[place + 4])

    def drop(self, until_us: int) -> None:
        """Forget values whose windows all end at or before that."""
        for group, parts in list(self._held.items()):
            for part, sums in list(parts.items()):
                if max(sums[::STRIDE]) + self.length_us <= until_us:
                    del parts[part]
                    self._values -= 1
            if not parts:
                del self._held[group]

    def dump(self, until_us: int) -> Iterator[tuple[Group, Part, list[list[int]]]]:
        """Group, part, and of each window that ends after that its start and sums."""
        for group, parts in self._held.items():
            for part, sums in parts.items():
                rows = [sums[at : at + STRIDE].tolist() for at in range(0, len(sums), STRIDE)]
                yield group, part, [row for row in rows if row[1] and row[0] + self.length_us > until_us]

    def restore(self, group: Group, part: Part, rows: list[list[int]]) -> None:
        """What `dump` gave."""
        sums = self._sums(group, part)
        for window, *counts in rows if sums is not None else ():
            self._count(sums, window, tuple(counts))  # pyright: ignore[reportArgumentType]


def add_to(found: dict[Value, Counts], dimensions: tuple[str | None, ...], counts: Counts) -> None:
    """One more cell, that no complete block has counted."""
    for place, value in enumerate(dimensions):
        if value is not None:
            found[place, value] = added(found.get((place, value)), counts)


def levels(sli: SliSpec, counts: Mapping[str, Counts], whole: Counts, seconds: float) -> Levels:
    """What an SLI is by value, and under None that of all other rows; empty for types that these sums do not tell."""
    if not counts or sli.type not in TIMED | FAILING | SHARED:
        return {}
    rest = [total - sum(each[n] for each in counts.values()) for n, total in enumerate(whole)]
    told: dict[str | None, Counts] = {**counts}
    if any(rest):
        told[None] = (rest[0], rest[1], rest[2], rest[3])
    return {value: _ratio(sli, each, seconds) for value, each in told.items()}


def _ratio(sli: SliSpec, counts: Counts, seconds: float) -> Ratio:
    rows, errors, timed, total = counts
    if sli.type in TIMED:
        return Ratio(float(total), float(timed))
    return Ratio(float(errors), float(rows)) if sli.type in FAILING else Ratio(float(rows), seconds)
