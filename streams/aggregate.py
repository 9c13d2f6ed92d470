"""The first stage: rows of one block to cells. Pure: what a cell holds depends on its range of the log alone.

All values are integers, so the order of additions does not matter and any cut of the range into batches gives equal
bytes. Rows are counted by a compiled loop (`streams.kernels.tally`) in order of offset; here its arrays are made and grow.
A block has at most 65,536 rows and hence at most that many cells, so a cell's number fits 16 bits and most keys 32.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.delta import AFFECTED_MAX, OTHER
from schemas.frozen import frozen
from streams.governance import INTEGER_MEASURES, LABELS, knobs, reason
from streams.kernels import admission, cell_bytes, tally
from streams.layout import Layout
from streams.route import delta_partition
from streams.rows import TEXTS, Rows

Ints = npt.NDArray[np.int64]
CELLS_START, ARMS_START, PLACES_START, WORDS_START, WORD_BYTES_START, KEYS_START = 256, 64, 16, 256, 8192, 4096
"""Room at first; it doubles."""
KEYED = (("error_buckets", admission.ERROR_KEYS), ("affected", admission.AFFECTED), ("sampled", admission.SAMPLED))
LARGEST_KEY_BYTES, LARGEST_COUNT_BYTES, CELL_BYTES, MEASURE_BYTES = 5, 3, 256, 64
"""Bounds of what is written: of a key and its count, and of what a cell and a measure have beside keys and texts."""


@frozen()
class Rejected:
    """A row that is not counted among `rows`: quarantined (it has a key), or dead (it has none)."""

    row: int
    reason: str
    dead: bool


@frozen()
class CellGroup:
    """Avro bodies of `cells` cells of one key, end to end."""

    key: str
    cells: int
    body: bytes


class OpenBlock:
    """Cells of one block so far; `add` takes its rows in order of offset."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.dead = 0
        self.labels = (*LABELS, *layout.dimensions)
        self._columns = np.array([TEXTS.index(name) for name in self.labels], np.int64)
        self._measures = (*INTEGER_MEASURES, *(name for name, _ in layout.measures))
        self._knobs = knobs(layout)
        self._resolutions = np.array([resolution for _, resolution in layout.measures], np.float64)
        self._t = _tallies(len(self.labels), len(self._measures), layout.label_bytes)
        other = np.frombuffer(OTHER.encode(), np.uint8)
        for label in range(len(self.labels)):
            value = admission.word_hash(other, 0, len(other), label)
            admission.add_word(self._t, other, 0, len(other), np.uint64(value))
        self._routes = np.empty(0, np.int64)
        self._sorted = True
        self._route_of: dict[tuple[int, int], int] = {}

    @classmethod
    def start(cls, layout: Layout) -> OpenBlock:
        """An empty block."""
        return cls(layout)

    @property
    def max_event_time(self) -> int | None:
        """Of the rows that count."""
        return int(self._t.n[admission.LATEST]) if self._t.n[admission.ANY] else None

    # -- rows in -------------------------------------------------------------------------------------------------

    def add(self, rows: Rows, kafka_us: Ints | None, pick: Ints | None = None) -> list[Rejected]:
        """Count the rows `pick` int64 (k,) (all of them where None), with their Kafka timestamps int64 (k,); None for
        recorded ones."""
        picked = np.arange(len(rows)) if pick is None else pick
        fate = np.zeros(len(picked), np.int64)
        arrival = np.empty(0, np.int64) if kafka_us is None else kafka_us
        words, hashes = np.empty(len(self.labels), np.int32), np.empty(len(self.labels), np.uint64)
        done = 0
        self._sorted = False
        self._make_room_for_keys(len(picked))
        while done < len(picked):
            done = tally.count(
                rows.data, rows.start, rows.length, rows.longs, rows.present, rows.rate, rows.values, rows.has, picked, done,
                arrival, kafka_us is not None, self._columns, self._resolutions, self._knobs, self._t, fate,
                words, hashes,
            )  # fmt: skip
            if done < len(picked):
                self._make_room()
        rejected = [
            Rejected(row, reason(int(fate[row]), self.layout, self.labels), bool(fate[row] >= tally.DEAD))
            for row in np.flatnonzero(fate > tally.IS_LATE).tolist()
        ]
        self.dead += sum(reject.dead for reject in rejected)
        return rejected

    def _make_room(self) -> None:
        """Twice the room wherever a row might not fit."""
        t = self._t
        n, wider = t.n, dict[str, Any]()
        if n[admission.CELLS] + 1 > len(t.cells):
            wider |= {name: _longer(getattr(t, name), 2 * len(t.cells)) for name in ("cells", "c_words", "c_sums")}
            hashes = np.ascontiguousarray(wider["cells"][:, admission.HASH]).view(np.uint64)
            wider["c_table"] = _table(hashes, int(n[admission.CELLS]))
        for prefix, place in (("a", admission.ARMS), ("p", admission.PLACES)):
            hashes = getattr(t, f"{prefix}_hash")
            if n[place] + 1 > len(hashes):
                names = (f"{prefix}_hash", f"{prefix}_words", *(["p_arms"] if prefix == "p" else []))
                wider |= {name: _longer(getattr(t, name), 2 * len(hashes)) for name in names}
                wider[f"{prefix}_table"] = _table(wider[f"{prefix}_hash"], int(n[place]))
        if n[admission.WORDS] + len(self.labels) > len(t.w_hash):
            wider |= {name: _longer(getattr(t, name), 2 * len(t.w_hash)) for name in ("w_hash", "w_start", "w_length")}
            wider["w_table"] = _table(wider["w_hash"], int(n[admission.WORDS]))
        if n[admission.WORD_BYTES] + len(self.labels) * self.layout.label_bytes > len(t.w_bytes):
            wider["w_bytes"] = _longer(t.w_bytes, 2 * len(t.w_bytes))
        self._t = t._replace(**wider)

    def _make_room_for_keys(self, rows: int) -> None:
        t, wider = self._t, dict[str, Any]()
        needed = int(t.m_keys.max()) + rows
        if needed > t.histogram.shape[1]:
            size = max(needed, 2 * t.histogram.shape[1])
            wider |= {name: _wider(getattr(t, name), size) for name in ("histogram", "joint")}
        for name, place in KEYED:
            needed, room = int(t.n[place]) + rows, len(getattr(t, name))
            if needed > room:
                wider[name] = _longer(getattr(t, name), max(needed, 2 * room))
        if wider:
            self._t = t._replace(**wider)

    # -- cells out -----------------------------------------------------------------------------------------------

    @property
    def rows_d(self) -> list[int]:
        """Rows (late and quarantined ones, too) routed to each delta partition."""
        n = int(self._t.n[admission.CELLS])
        seen = self._t.cells[:n, [admission.ROWS, admission.LATE, admission.QUARANTINED]].sum(axis=1)
        totals = np.zeros(self.layout.delta_partitions, np.int64)
        np.add.at(totals, self.routes, seen)
        return totals.tolist()

    @property
    def routes(self) -> Ints:
        """Delta partition of each cell."""
        n, known = int(self._t.n[admission.CELLS]), len(self._routes)
        if known < n:
            fresh = [
                self._route(service, environment) for service, environment in self._t.c_words[known:n, 1:3].tolist()
            ]
            self._routes = np.concatenate((self._routes, np.array(fresh, np.int64)))
        return self._routes

    def _route(self, service: int, environment: int) -> int:
        route = self._route_of.get((service, environment))
        if route is None:
            route = delta_partition(self._word(service), self._word(environment), self.layout.delta_partitions)
            self._route_of[service, environment] = route
        return route

    def _word(self, word: int) -> str:
        start = int(self._t.w_start[word])
        return self._t.w_bytes[start : start + int(self._t.w_length[word])].tobytes().decode()

    def groups(self, cells_max: int, partition: int | None = None) -> Iterator[CellGroup]:
        """All cells, or those of one delta partition: by key, in order of first offset, at most `cells_max` together."""
        yield from self._groups(np.arange(int(self._t.n[admission.CELLS])), cells_max, partition)

    def changed_groups(self, cells_max: int, partition: int | None = None) -> Iterator[CellGroup]:
        """Cells with rows since they were last taken; taking all (`partition` None) or one partition's clears them."""
        which = np.flatnonzero(self._t.cells[: int(self._t.n[admission.CELLS]), admission.CHANGED])
        if partition is not None:
            which = which[self.routes[which] == partition]
        self._t.cells[which, admission.CHANGED] = 0
        yield from self._groups(which, cells_max, None)

    def _groups(self, which: Ints, cells_max: int, partition: int | None) -> Iterator[CellGroup]:
        if partition is not None:
            which = which[self.routes[which] == partition]
        if not len(which):
            return
        words = self._t.c_words[which].astype(np.int64)
        group = words[:, 0].copy()  # one key: an experiment, else a service in an environment
        nameless = group < 0
        group[nameless] = (1 + words[nameless, 1] << 32) | words[nameless, 2]
        order = np.lexsort((which, group))
        which, group, words = which[order], group[order], words[order]
        body, ends = self._bodies(which)
        borders = [0, *(np.flatnonzero(np.diff(group)) + 1).tolist(), len(which)]
        for begin, end in itertools.pairwise(borders):
            experiment, service, environment = words[begin, :3].tolist()
            key = self._word(experiment) if experiment >= 0 else f"{self._word(service)}/{self._word(environment)}"
            for first in range(begin, end, cells_max):
                last = min(end, first + cells_max)
                yield CellGroup(key, last - first, body[ends[first] : ends[last]])

    def _bodies(self, which: Ints) -> tuple[bytes, list[int]]:
        """Avro bodies of cells, end to end, and where each begins and the last one ends."""
        self._sort()
        t = self._t
        keys = int(t.m_keys.sum() + t.n[[admission.ERROR_KEYS, admission.AFFECTED, admission.SAMPLED]].sum())
        texts = len(self.labels) * (self.layout.label_bytes + cell_bytes.LONG_BYTES)
        names = [name.encode() for name in self._measures]
        cell = CELL_BYTES + texts + sum(MEASURE_BYTES + len(name) for name in names)
        out = np.empty(len(which) * cell + keys * (LARGEST_KEY_BYTES + LARGEST_COUNT_BYTES), np.uint8)
        ends = np.zeros(len(which) + 1, np.int64)
        order = sorted(range(len(names)), key=lambda m: (m > 0, self._measures[m]))  # the duration first
        cell_bytes.write(
            t, which, self.layout.window_us, AFFECTED_MAX, np.array(order), np.frombuffer(b"".join(names), np.uint8),
            np.cumsum([0, *map(len, names)]), out, ends[1:],
        )  # fmt: skip
        return out[: ends[-1]].tobytes(), ends.tolist()

    def _sort(self) -> None:
        if self._sorted:
            return
        self._sorted, t = True, self._t
        for m, (bins, joints) in enumerate(t.m_keys.tolist()):
            t.histogram[m, :bins].sort()
            t.joint[m, :joints].sort()
        t.error_buckets[: t.n[admission.ERROR_KEYS]].sort()
        t.affected[: t.n[admission.AFFECTED]].sort()
        t.sampled[: t.n[admission.SAMPLED]].sort()


def _tallies(labels: int, measures: int, label_bytes: int) -> admission.Tallies:
    """Nothing counted yet."""
    cells, words, arms, places = CELLS_START, WORDS_START, ARMS_START, PLACES_START
    return admission.Tallies(
        n=np.zeros(10, np.int64),
        w_table=np.full(2 * words, -1, np.int32), w_hash=np.zeros(words, np.uint64), w_start=np.zeros(words, np.int64),
        w_length=np.zeros(words, np.int64), w_bytes=np.zeros(max(WORD_BYTES_START, 2 * labels * label_bytes), np.uint8),
        c_table=np.full(2 * cells, -1, np.int32), cells=np.zeros((cells, admission.CELL_COLUMNS), np.int64),
        c_words=np.zeros((cells, labels), np.int32), c_sums=np.zeros((cells, measures, 2), np.int64),
        m_keys=np.zeros((measures, 2), np.int64),
        histogram=np.empty((measures, KEYS_START), np.uint32), joint=np.empty((measures, KEYS_START), np.uint32),
        a_table=np.full(2 * arms, -1, np.int32), a_hash=np.zeros(arms, np.uint64),
        a_words=np.zeros((arms, admission.ARM_LABELS), np.int32), p_table=np.full(2 * places, -1, np.int32),
        p_hash=np.zeros(places, np.uint64), p_words=np.zeros((places, 2), np.int32), p_arms=np.zeros(places, np.int64),
        often=np.zeros((2, admission.COUNTERS), np.uint8),
        error_buckets=np.empty(KEYS_START, np.uint32), affected=np.empty(KEYS_START, np.uint64),
        sampled=np.empty(KEYS_START, np.uint64),
    )  # fmt: skip


def _longer(array: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """A copy with zeros up to `size`."""
    longer = np.zeros((size, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer


def _wider(array: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """A copy with zeros up to `size` columns; always of one memory layout, since the loops are compiled for it."""
    wider = np.zeros((len(array), size), array.dtype)
    wider[:, : array.shape[1]] = array
    return wider


def _table(hashes: npt.NDArray[np.uint64], n: int) -> npt.NDArray[np.int32]:
    """Open addressing for that many hashes' room, with the first n entered."""
    table = np.full(2 * len(hashes), -1, np.int32)
    admission.fill_table(table, hashes, n)
    return table
