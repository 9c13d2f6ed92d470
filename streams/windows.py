"""The windows that the judge keeps: verified cells by experiment, window and label.

A window's content is the sum of what complete blocks said of it and, per source partition, of the newest verified cell of
the open block; a newer cell replaces, a complete block stays. Windows older than the kept span are dropped, and rows
that still come for them are counted as late.

What the specs name always has contents of its own. What they do not name (services without an experiment, versions that
someone made up) is kept too, for a spec that comes late, up to `unnamed_max` contents; beyond, only its rows are counted,
under `__other__`: of the experiment's own variant, where it has one, so that the gate for wrong versions still sees them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from analyzers.arm import EMPTY, ArmWindow
from schemas.delta import OTHER, Cell, CellKey
from streams.fold import SourceKey

Group = tuple[str | None, str, str]
"""Experiment id, service, environment."""
Label = tuple[str, str | None]
"""Version and variant."""
FOLDED_PARTS_MAX = 16
"""Cells of complete blocks that wait to be added up."""
UNNAMED_MAX = 20_000
"""Contents of labels that no spec names; some 2 KB each."""
MERGED_FROM = 5
"""The open parts of `__other__` are kept by all labels of a cell, `__other__` first: more than dimensions ever are."""
_NOWHERE: Group = (None, OTHER, OTHER)


@dataclass(frozen=True, slots=True)
class Names:
    """Versions and variants that an experiment's spec names."""

    versions: frozenset[str] = frozenset()
    variants: frozenset[str] = frozenset()

    def has(self, label: Label) -> bool:
        """Whether the spec names it."""
        return label[0] in self.versions and (label[1] is None or label[1] in self.variants)


@dataclass(slots=True)
class Content:
    """One label in one window."""

    complete: list[ArmWindow] = field(default_factory=list[ArmWindow])
    open: dict[tuple[SourceKey, tuple[str | None, ...]], ArmWindow] = field(
        default_factory=dict[tuple[SourceKey, tuple[str | None, ...]], ArmWindow]
    )

    def total(self) -> ArmWindow:
        """Everything counted so far."""
        return ArmWindow.sum([*self.complete, *self.open.values()])

    def fold(self, source: SourceKey) -> None:
        """The source's open block is complete."""
        for key in [key for key in self.open if key[0] == source]:
            self.complete.append(self.open.pop(key))
        if len(self.complete) > FOLDED_PARTS_MAX:
            self.complete = [ArmWindow.sum(self.complete)]


class Windows:
    """Content by group, window start (UTC microseconds) and label; `changed` are windows with news since last taken."""

    def __init__(self, length_us: int, unnamed_max: int = UNNAMED_MAX) -> None:
        self.length_us = length_us
        self.unnamed_max = unnamed_max
        self.floor_us = 0
        """Windows that end at or before this are gone."""
        self.late_rows = 0
        """Rows that came for windows that are gone."""
        self.counted = Counter[str]()
        """Rows since this process began: `rows`, `late`, `quarantined`, and of all these `other` under `__other__`."""
        self.changed: dict[tuple[Group, int], None] = {}
        self._groups: dict[Group, dict[int, dict[Label, Content]]] = {}
        self._open: dict[SourceKey, dict[int, Content]] = {}
        self._names: Mapping[Group, Names] = {}
        self._unnamed = 0
        self._merged: dict[SourceKey, dict[CellKey, tuple[Group, Label]]] = {}
        """Where cells of the open block are counted that have no content of their own; they stay there until it is full."""

    def start(self, time_us: int) -> int:
        """Start of the window that holds a time."""
        return time_us // self.length_us * self.length_us

    def name(self, names: Mapping[Group, Names]) -> None:
        """The specs in force name these."""
        self._names = names
        self._unnamed = sum(not self._named(group, label) for (group, _, label), _ in self.contents())

    def count(self, source: SourceKey, cell: Cell) -> None:
        """A verified cell of the source's open block."""
        if cell.window + self.length_us <= self.floor_us:
            self.late_rows += cell.rows
            return
        group, label = self._merged.get(source, {}).get(cell.key) or self._place(cell)
        content = self._content(group, cell.window, label)
        own = (group, label) == _of(cell)
        part = ArmWindow.of(cell) if own else _rows_only(cell)
        key = cell.dimensions if own else (OTHER, *cell.key[:5], *cell.dimensions)
        self._tally(content.open.get((source, key), EMPTY), part, cell.version == OTHER or not own)
        self._hold(content, source, key, part)
        if not own:
            self._merged.setdefault(source, {})[cell.key] = (group, label)
        self.changed[group, cell.window] = None

    def contents(self) -> Iterator[tuple[tuple[Group, int, Label], Content]]:
        """Everything kept, for a checkpoint."""
        for group, windows in self._groups.items():
            for window, labels in windows.items():
                for label, content in labels.items():
                    yield (group, window, label), content

    def restore(self, cell: Cell, source: SourceKey | None) -> None:
        """One part of what `contents` gave: of the source's open block, or of complete ones."""
        group, label = _of(cell)
        content = self._content(group, cell.window, label)
        if source is None:
            content.complete.append(ArmWindow.of(cell))
            return
        self._hold(content, source, cell.dimensions, ArmWindow.of(cell))
        if len(cell.dimensions) > MERGED_FROM:
            experiment_id, service, environment, version, variant, *dimensions = cell.dimensions[1:]
            key = (experiment_id, str(service), str(environment), str(version), variant, tuple(dimensions), cell.window)
            self._merged.setdefault(source, {})[key] = (group, label)

    def _place(self, cell: Cell) -> tuple[Group, Label]:
        """Where a cell is counted: as what it is, unless nobody names it and there are too many of these."""
        group, label = _of(cell)
        known = label in self._groups.get(group, {}).get(cell.window, {})
        if known or self._unnamed < self.unnamed_max or self._named(group, label):
            return group, label
        names = self._names.get(group)
        if names is None:
            return _NOWHERE, (OTHER, None)
        return group, (OTHER, cell.variant if cell.variant in names.variants else None)

    def _named(self, group: Group, label: Label) -> bool:
        names = self._names.get(group)
        return names is not None and names.has(label)

    def _content(self, group: Group, window: int, label: Label) -> Content:
        labels = self._groups.setdefault(group, {}).setdefault(window, {})
        content = labels.get(label)
        if content is None:
            content = labels[label] = Content()
            self._unnamed += not self._named(group, label)
        return content

    def _hold(self, content: Content, source: SourceKey, key: tuple[str | None, ...], part: ArmWindow) -> None:
        content.open[source, key] = part
        self._open.setdefault(source, {})[id(content)] = content

    def _tally(self, old: ArmWindow, new: ArmWindow, other: bool) -> None:
        for name in ("rows", "late", "quarantined"):
            more = getattr(new, name) - getattr(old, name)
            self.counted[name] += more
            self.counted["other"] += more if other else 0

    def fold(self, source: SourceKey) -> None:
        """The source's open block is complete."""
        self._merged.pop(source, None)
        for content in self._open.pop(source, {}).values():
            content.fold(source)

    def labels(self, group: Group, window: int) -> dict[Label, ArmWindow]:
        """Totals of every label seen in one window."""
        found = self._groups.get(group, {}).get(window, {})
        return {label: content.total() for label, content in found.items()}

    def first(self, group: Group) -> int | None:
        """Start of the earliest window kept."""
        return min(self._groups.get(group, {}), default=None)

    def take_changed(self, closed_us: int) -> Iterator[tuple[Group, int]]:
        """Windows with news that end at or before `closed_us`, in order of time."""
        ready = [key for key in self.changed if key[1] + self.length_us <= closed_us]
        for key in sorted(ready, key=lambda key: (key[1], key[0][0] or "", *key[0][1:])):
            del self.changed[key]
            yield key

    def drop(self, until_us: int) -> None:
        """Forget windows that end at or before `until_us`."""
        if until_us <= self.floor_us:
            return
        self.floor_us = until_us
        for group in list(self._groups):
            windows = self._groups[group]
            for window in [window for window in windows if window + self.length_us <= until_us]:
                for label, content in windows.pop(window).items():
                    self._unnamed -= not self._named(group, label)
                    for held in self._open.values():
                        held.pop(id(content), None)
            if not windows:
                del self._groups[group]


def _of(cell: Cell) -> tuple[Group, Label]:
    return (cell.experiment_id, cell.service, cell.environment), (cell.version, cell.variant)


def _rows_only(cell: Cell) -> ArmWindow:
    """A cell without what only evidence needs."""
    return ArmWindow(
        cell.rows, cell.errors, cell.late, cell.quarantined, cell.with_unit, cell.weight, cell.error_weight,
        cell.weight_min, cell.weight_max, cell.lag_us,
    )  # fmt: skip
