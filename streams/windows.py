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
from collections.abc import Iterable, Iterator, Mapping, Sequence

from analyzers.arm import ArmWindow, Counts, added
from schemas.delta import OTHER
from streams import deltas
from streams.content import Content, Group, Names, Place
from streams.deltas import PackedCell, labels_of
from streams.fold import SourceKey
from streams.parts import Label, Parts, Value, add_to

Key = tuple[str, str | None, str | None]
"""Label, and the stratum where the spec compares within segments."""
STRATA_MAX = 16
"""Segments of one window that are compared by themselves; rows of further ones are compared together."""
Values = dict[int, dict[Label, dict[str, Counts]]]
"""Counts by window, label and value."""
UNNAMED_MAX = 20_000
"""Contents of labels that no spec names; some 2 KB each."""
_TALLIED = ("rows", "late", "quarantined")
_NOWHERE: Group = (None, OTHER, OTHER)


class Windows:
    """Content by group, window start (UTC microseconds) and label; `changed` are windows with news since last taken."""

    def __init__(self, length_us: int, unnamed_max: int = UNNAMED_MAX, dimensions: Sequence[str] = ()) -> None:
        self.length_us = length_us
        self.unnamed_max = unnamed_max
        self.dimensions = dimensions
        self.floor_us = 0
        """Windows that end at or before this are gone."""
        self.late_rows = 0
        """Rows that came for windows that are gone."""
        self.counted = Counter[str]()
        """Rows since this process began: `rows`, `late`, `quarantined`, and of all these `other` under `__other__`."""
        self.changed: dict[tuple[Group, int], None] = {}
        self.parts: Parts[Group] = Parts(length_us)
        """What segments, endpoints and instances add to complete blocks."""
        self._groups: dict[Group, dict[int, dict[Key, Content]]] = {}
        self._places: dict[SourceKey, dict[bytes, Place]] = {}
        """Of the cells of open blocks; one that has no content of its own has none until its block is full."""
        self._names: Mapping[Group, Names] = {}
        self._unnamed = 0
        self._known: list[Content] = []
        self._alike: tuple[int, dict[tuple[bool, str], list[Group]]] | None = None

    def start(self, time_us: int) -> int:
        """Start of the window that holds a time."""
        return time_us // self.length_us * self.length_us

    def name(self, names: Mapping[Group, Names]) -> None:
        """The specs in force name these."""
        self._names = names
        self._unnamed = sum(not self._named(group, key[:2]) for (group, _, key), _ in self.contents())

    def count(self, source: SourceKey, cells: Iterable[PackedCell]) -> None:
        """Verified cells of the source's open block."""
        places = self._places.setdefault(source, {})
        for cell in cells:
            if cell.window + self.length_us <= self.floor_us:
                self.late_rows += cell.rows
                continue
            place = places.get(cell.key)
            if place is None:
                place = places[cell.key] = self._place(cell, *self._where(cell))
            if place.counted != (now := (cell.rows, cell.late, cell.quarantined)):
                self._tally(place, now)
            self._put(place, source, cell)
            self.changed[place.group, place.window] = None

    def contents(self) -> Iterator[tuple[tuple[Group, int, Key], Content]]:
        """Everything kept, for a checkpoint."""
        for group, windows in self._groups.items():
            for window, held in windows.items():
                for key, content in held.items():
                    yield (group, window, key), content

    def restore(self, group: Group, window: int, key: Key) -> Content:
        """Content that `contents` gave, empty still."""
        return self._content(group, window, key)

    def restore_open(self, source: SourceKey, cell: PackedCell, group: Group, key: Key) -> None:
        """A cell of the source's open block, as it was counted in that content."""
        place = self._place(cell, group, key)
        place.counted = (cell.rows, cell.late, cell.quarantined)
        self._places.setdefault(source, {})[cell.key] = place
        self._put(place, source, cell)

    def _place(self, cell: PackedCell, group: Group, key: Key) -> Place:
        label = key[:2]
        own = (group, label) == _of(cell.labels)
        content = self._content(group, cell.window, key)
        return Place(content, group, cell.window, label, labels_of(cell.labels)[5], own, not own or label[0] == OTHER)

    def _where(self, cell: PackedCell) -> tuple[Group, Key]:
        """Where a cell is counted: as what it is, unless nobody names it and there are too many of these."""
        group, label = _of(cell.labels)
        held, names = self._groups.get(group, {}).get(cell.window, {}), self._names.get(group)
        if names is not None and names.has(label):
            return group, (*label, self._stratum(names, cell, held))
        if (*label, None) in held or self._unnamed < self.unnamed_max:
            return group, (*label, None)
        if names is None:
            return _NOWHERE, (OTHER, None, None)
        return group, (OTHER, label[1] if label[1] in names.variants else None, None)

    def _stratum(self, names: Names, cell: PackedCell, held: Mapping[Key, Content]) -> str | None:
        """Which rows it is compared with."""
        if names.stratify not in self.dimensions:
            return None
        value = labels_of(cell.labels)[5][self.dimensions.index(names.stratify)]
        known = {stratum for _, _, stratum in held} - {None}
        return value if value is None or value in known or len(known) < STRATA_MAX else OTHER

    def _named(self, group: Group, label: Label) -> bool:
        names = self._names.get(group)
        return names is not None and names.has(label)

    def _content(self, group: Group, window: int, key: Key) -> Content:
        held = self._groups.setdefault(group, {}).setdefault(window, {})
        content = held.get(key)
        if content is None:
            content = held[key] = Content()
            self._unnamed += not self._named(group, key[:2])
        return content

    def _put(self, place: Place, source: SourceKey, cell: PackedCell) -> None:
        content = place.content
        content.known = None
        content.open.setdefault(source, {})[cell.key] = cell.body if place.own else cell.counts_only

    def _tally(self, place: Place, now: tuple[int, int, int]) -> None:
        for name, before, after in zip(_TALLIED, place.counted, now, strict=True):
            if after != before:
                self.counted[name] += after - before
                self.counted["other"] += after - before if place.other else 0
        place.counted = now

    def fold(self, source: SourceKey) -> None:
        """The source's open block is complete."""
        places = self._places.pop(source, {})
        for key, place in places.items():
            if place.told_apart:
                counts = deltas.counts_of(place.content.open[source][key])
                self.parts.add(place.group, place.window, place.label, place.dimensions, counts)
        for place in places.values():
            place.content.fold(source)

    def told_apart(self, group: Group, start_us: int, end_us: int) -> dict[Value, Counts]:
        """Sums by segment, endpoint and instance over the windows that are kept and start within [start_us, end_us)."""
        found = self.parts.between(group, max(start_us, self.floor_us - self.length_us + 1), end_us)
        for place, counts in self._open_parts(group, start_us, end_us):
            add_to(found, place.dimensions, counts)
        return found

    def values(self, group: Group, name: str, start_us: int, end_us: int) -> Values:
        """The same of the dimension of that name, by window, label and value; empty where cells do not have it."""
        found: Values = {}
        if name not in self.dimensions:
            return found
        dimension = self.dimensions.index(name)

        def add(window: int, label: Label, value: str, counts: Counts) -> None:
            values = found.setdefault(window, {}).setdefault(label, {})
            values[value] = added(values.get(value), counts)

        begin_us = max(start_us, self.floor_us - self.length_us + 1)
        for (place, value, label), window, counts in self.parts.each(group, begin_us, end_us):
            if place == dimension:
                add(window, label, value, counts)
        for open_place, counts in self._open_parts(group, start_us, end_us):
            value = open_place.dimensions[dimension]
            if value is not None:
                add(open_place.window, open_place.label, value, counts)
        return found

    def values_at(self, group: Group, name: str, window: int) -> dict[Label, dict[str, Counts]]:
        """The same in one window, found without a look at others: by label and value."""
        found: dict[Label, dict[str, Counts]] = {}
        if name not in self.dimensions:
            return found
        dimension = self.dimensions.index(name)
        told = [
            (label, value, counts)
            for (place, value, label), counts in self.parts.at(group, window)
            if place == dimension
        ]
        for content in self._groups.get(group, {}).get(window, {}).values():
            for source, held in content.open.items():
                for key, body in held.items():
                    at = self._places[source][key]
                    value = at.dimensions[dimension] if at.told_apart else None
                    if value is not None:
                        told.append((at.label, value, deltas.counts_of(body)))
        for label, value, counts in told:
            values = found.setdefault(label, {})
            values[value] = added(values.get(value), counts)
        return found

    def _open_parts(self, group: Group, start_us: int, end_us: int) -> Iterator[tuple[Place, Counts]]:
        """What open blocks add."""
        for source, places in self._places.items():
            for key, place in places.items():
                if place.group == group and place.told_apart and start_us <= place.window < end_us:
                    yield place, deltas.counts_of(place.content.open[source][key])

    def labels(self, group: Group, window: int) -> dict[Label, ArmWindow]:
        """Totals of every label seen in one window; kept until `forget_totals`."""
        found: dict[Label, ArmWindow] = {}
        for (version, variant, _), content in self._totals(group, window):
            label = version, variant
            found[label] = found[label] + content if label in found else content
        return found

    def strata(self, group: Group, window: int) -> dict[str | None, dict[Label, ArmWindow]]:
        """The same by the segments that the spec compares within."""
        found: dict[str | None, dict[Label, ArmWindow]] = {}
        for (version, variant, stratum), content in self._totals(group, window):
            found.setdefault(stratum, {})[version, variant] = content
        return found

    def _totals(self, group: Group, window: int) -> Iterator[tuple[Key, ArmWindow]]:
        found = self._groups.get(group, {}).get(window, {})
        self._known += [content for content in found.values() if content.known is None]
        for key, content in found.items():
            yield key, content.total()

    def forget_totals(self) -> None:
        """What was added up can be added up again, and takes more memory than what it was added up from."""
        for content in self._known:
            content.known = None
        self._known.clear()
        self._alike = None

    def groups(self, window: int) -> list[Group]:
        """Who has content in one window."""
        return [group for group, windows in self._groups.items() if window in windows]

    def alike(self, experiment_id: str, service: str, window: int) -> list[Group]:
        """Who has content in one window and this experiment or this service, found once a round (`forget_totals`)."""
        if self._alike is None or self._alike[0] != window:
            found: dict[tuple[bool, str], list[Group]] = {}
            for group in self.groups(window):
                found.setdefault((False, group[1]), []).append(group)
                if group[0] is not None:
                    found.setdefault((True, group[0]), []).append(group)
            self._alike = window, found
        _, found = self._alike
        return list(
            {**dict.fromkeys(found.get((True, experiment_id), ())), **dict.fromkeys(found.get((False, service), ()))}
        )

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
                for held_key, content in windows.pop(window).items():
                    self._unnamed -= not self._named(group, held_key[:2])
                    for source, held in content.open.items():
                        for key in held:
                            del self._places[source][key]
            if not windows:
                del self._groups[group]
        self.parts.drop(until_us)


def _of(labels: bytes) -> tuple[Group, Label]:
    experiment_id, service, environment, version, variant, _ = labels_of(labels)
    return (experiment_id, service, environment), (version, variant)
