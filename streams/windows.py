"""The windows that the judge keeps: verified cells by experiment, window and label.

A window's content is the sum of what complete blocks said of it and, per source partition, of the newest verified cell of
the open block; a newer cell replaces, a complete block stays. Windows older than the kept span are dropped, and rows
that still come for them are counted as late.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from analyzers.arm import ArmWindow
from schemas.delta import Cell
from streams.fold import SourceKey

Group = tuple[str | None, str, str]
"""Experiment id, service, environment."""
Label = tuple[str, str | None]
"""Version and variant."""
FOLDED_PARTS_MAX = 16
"""Cells of complete blocks that wait to be added up."""


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

    def __init__(self, length_us: int) -> None:
        self.length_us = length_us
        self.floor_us = 0
        """Windows that end at or before this are gone."""
        self.late_rows = 0
        """Rows that came for windows that are gone."""
        self.changed: dict[tuple[Group, int], None] = {}
        self._groups: dict[Group, dict[int, dict[Label, Content]]] = {}
        self._open: dict[SourceKey, dict[int, Content]] = {}

    def start(self, time_us: int) -> int:
        """Start of the window that holds a time."""
        return time_us // self.length_us * self.length_us

    def count(self, source: SourceKey, cell: Cell) -> None:
        """A verified cell of the source's open block."""
        if cell.window + self.length_us <= self.floor_us:
            self.late_rows += cell.rows
            return
        self._hold(self._content(cell), source, cell)
        self.changed[(cell.experiment_id, cell.service, cell.environment), cell.window] = None

    def contents(self) -> Iterator[tuple[tuple[Group, int, Label], Content]]:
        """Everything kept, for a checkpoint."""
        for group, windows in self._groups.items():
            for window, labels in windows.items():
                for label, content in labels.items():
                    yield (group, window, label), content

    def restore(self, cell: Cell, source: SourceKey | None) -> None:
        """One part of what `contents` gave: of the source's open block, or of complete ones."""
        content = self._content(cell)
        if source is None:
            content.complete.append(ArmWindow.of(cell))
        else:
            self._hold(content, source, cell)

    def _content(self, cell: Cell) -> Content:
        windows = self._groups.setdefault((cell.experiment_id, cell.service, cell.environment), {})
        return windows.setdefault(cell.window, {}).setdefault((cell.version, cell.variant), Content())

    def _hold(self, content: Content, source: SourceKey, cell: Cell) -> None:
        content.open[source, cell.dimensions] = ArmWindow.of(cell)
        self._open.setdefault(source, {})[id(content)] = content

    def fold(self, source: SourceKey) -> None:
        """The source's open block is complete."""
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
                for content in windows.pop(window).values():
                    for held in self._open.values():
                        held.pop(id(content), None)
            if not windows:
                del self._groups[group]
