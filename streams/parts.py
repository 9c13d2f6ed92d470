"""What each segment, endpoint and instance adds to the windows of an experiment or service: enough to tell whose a change is.

Evidence is kept by version and variant alone (`streams.windows`): to keep it by segment, too, would take as many times the
memory as there are segments. Here each value of each configured dimension has four sums a window (rows, errors, timed rows,
their total duration), counted when a block is complete, from the same cells. A value has sums of its newest `PLACES` windows;
once there are `parts_max` values, further ones are not told apart (their rows are in the totals, so what is said of
the others stays right).
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterator, Mapping
from typing import Generic, TypeVar

from analyzers.attribution import Ratio
from schemas.sli import SliSpec

PARTS_MAX = 4096
"""Values told apart in all; some 10 KB each."""
PLACES = 256
"""Windows of one value that have sums: a question of the watch asks of fewer."""
COUNTS = 4
STRIDE = 1 + COUNTS
"""Start of the window, then its sums."""

Group = TypeVar("Group", bound=Hashable)
Value = tuple[int, str]
"""Which dimension, and its value."""
Counts = tuple[int, int, int, int]
"""Rows, errors, timed rows, their total duration in microseconds."""
Levels = dict[str | None, Ratio]
TIMED = frozenset({"latency_mean", "latency_quantile", "apdex"})
"""Types whose parts are told by mean duration."""
FAILING = frozenset({"error_ratio", "error_budget_burn"})
SHARED = frozenset({"throughput"})
"""Levels of whose values add up."""


class Parts(Generic[Group]):
    """Sums by group, value and window."""

    def __init__(self, length_us: int, parts_max: int = PARTS_MAX) -> None:
        self.length_us = length_us
        self.parts_max = parts_max
        self._held: dict[Group, dict[Value, array[int]]] = {}
        self._values = 0

    def add(self, group: Group, window: int, dimensions: tuple[str | None, ...], counts: Counts) -> None:
        """What a cell of a complete block holds."""
        for value in enumerate(dimensions):
            if value[1] is not None and (sums := self._sums(group, (value[0], value[1]))) is not None:
                self._count(sums, window, counts)

    def _sums(self, group: Group, value: Value) -> array[int] | None:
        held = self._held.setdefault(group, {})
        sums = held.get(value)
        if sums is None and self._values < self.parts_max:
            sums = held[value] = array("q", bytes(8 * PLACES * STRIDE))
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
        for value, sums in self._held.get(group, {}).items():
            places = [at for at in range(0, len(sums), STRIDE) if start_us <= sums[at] < end_us and sums[at + 1]]
            if places:
                found[value] = tuple(sum(sums[at + n] for at in places) for n in range(1, STRIDE))  # pyright: ignore[reportArgumentType]
        return found

    def drop(self, until_us: int) -> None:
        """Forget values whose windows all end at or before that."""
        for group, values in list(self._held.items()):
            for value, sums in list(values.items()):
                if max(sums[::STRIDE]) + self.length_us <= until_us:
                    del values[value]
                    self._values -= 1
            if not values:
                del self._held[group]

    def dump(self, until_us: int) -> Iterator[tuple[Group, Value, list[list[int]]]]:
        """Group, value, and of each window that ends after that its start and sums."""
        for group, values in self._held.items():
            for value, sums in values.items():
                rows = [sums[at : at + STRIDE].tolist() for at in range(0, len(sums), STRIDE)]
                yield group, value, [row for row in rows if row[1] and row[0] + self.length_us > until_us]

    def restore(self, group: Group, value: Value, rows: list[list[int]]) -> None:
        """What `dump` gave."""
        sums = self._sums(group, value)
        for window, *counts in rows if sums is not None else ():
            self._count(sums, window, tuple(counts))  # pyright: ignore[reportArgumentType]


def add_to(found: dict[Value, Counts], dimensions: tuple[str | None, ...], counts: Counts) -> None:
    """One more cell, that no complete block has counted."""
    for place, value in enumerate(dimensions):
        if value is not None:
            a, b, c, d = found.get((place, value), (0, 0, 0, 0))
            found[place, value] = (a + counts[0], b + counts[1], c + counts[2], d + counts[3])


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
