"""The first stage: rows of one block to cells. Pure: what a cell holds depends on its range of the log alone.

All values are integers, so the order of additions does not matter and any cut of the range into batches gives equal
bytes. Rows are never touched one by one: labels become codes, (cell, bin) pairs become sorted integer keys. A block has at
most 65,536 rows and hence at most that many cells, so a cell's number fits 16 bits and every key 32.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from analyzers.histogram import bin_of, quarter_octave
from schemas.delta import AFFECTED_MAX, QUARTERS, ROW_SAMPLE, Cell, Measure
from schemas.packing import pack_many
from streams.admission import Admission, Labels
from streams.governance import Checked, Values, check, integers, label_faults, valid
from streams.layout import Layout
from streams.route import delta_partition
from streams.unit_hash import Hashes, bucket, unit_hash

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]
Key = tuple[Labels, int]
BIN_BITS, JOINT_BITS, BUCKET_BITS, HASH_BITS = 13, 16, 7, 32
DENSE_MAX = 1 << 18
"""Largest table of label codes that is looked up directly; beyond, codes are made dense again by sorting."""
SCALARS = ("rows", "errors", "late", "quarantined", "with_unit", "weight", "error_weight", "lag_us")
_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that is not counted among `rows`: quarantined (it has a key), or dead (it has none)."""

    row: int
    reason: str
    dead: bool


@dataclass(slots=True)
class Tally:
    """Counts of 64-bit keys ``cell << bits | what``: what came since the last tidying, and what was tidied."""

    bits: int
    pending: list[Keys] = field(default_factory=list[Keys])
    keys: Keys = field(default_factory=lambda: np.empty(0, np.uint64))
    counts: Ints = field(default_factory=lambda: np.empty(0, np.int64))

    def add(self, cells: Ints, what: npt.NDArray[Any]) -> None:
        """One more of each (cell, what)."""
        self.pending.append((cells.astype(np.uint64) << np.uint64(self.bits)) | what.astype(np.uint64))

    def tidy(self) -> None:
        """Sort and add up."""
        if not self.pending:
            return
        fresh, counts = np.unique(np.concatenate(self.pending), return_counts=True)
        self.pending.clear()
        if not len(self.keys):
            self.keys, self.counts = fresh, counts
            return
        keys, place = np.unique(np.concatenate((self.keys, fresh)), return_inverse=True)
        total = np.zeros(len(keys), np.int64)
        total[place[: len(self.keys)]] = self.counts
        total[place[len(self.keys) :]] += counts
        self.keys, self.counts = keys, total

    def packed(self, cells: Ints, largest: int | None = None) -> list[bytes]:
        """Packed counts of each of the cells (ascending); of each cell only the `largest` smallest keys, where given."""
        self.tidy()
        shift = np.uint64(self.bits)
        begin = np.searchsorted(self.keys, cells.astype(np.uint64) << shift)
        end = np.searchsorted(self.keys, (cells + 1).astype(np.uint64) << shift)
        if largest is not None:
            end = np.minimum(end, begin + largest)
        sizes = end - begin
        starts = np.cumsum(sizes) - sizes
        take = np.repeat(begin - starts, sizes) + np.arange(int(sizes.sum()))
        what = self.keys[take] & np.uint64((1 << self.bits) - 1)
        return pack_many(what.astype(np.int64), self.counts[take], starts)


@dataclass(slots=True)
class MeasureTally:
    """One measure over the cells of a block."""

    name: str
    rows: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    total: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    histogram: Tally = field(default_factory=lambda: Tally(BIN_BITS))
    joint: Tally = field(default_factory=lambda: Tally(JOINT_BITS))


class OpenBlock:
    """Cells of one block so far; `add` takes its rows in order of offset."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.dead = 0
        self.max_event_time: int | None = None
        self._label_columns = ("experiment_id", "service", "environment", "version", "variant", *layout.dimensions)
        self._admission = Admission(layout)
        self._keys = self._admission.keys
        self._scalars = np.zeros((0, len(SCALARS)), np.int64)
        self._weight_range = np.zeros((0, 2), np.int64)
        self._changed = np.zeros(0, np.bool_)
        self._routes: list[int] = []
        self._error_buckets, self._affected = Tally(BUCKET_BITS), Tally(HASH_BITS)
        self._row_sample = Tally(HASH_BITS)
        self._measures: dict[str, MeasureTally] = {}

    @classmethod
    def start(cls, layout: Layout) -> OpenBlock:
        """An empty block."""
        return cls(layout)

    # -- rows in -------------------------------------------------------------------------------------------------

    def add(self, rows: pa.RecordBatch, kafka_us: Ints | None) -> list[Rejected]:
        """Count rows (`RequestEvent` columns), with their Kafka timestamps int64 (n,), None for recorded ones."""
        if not rows.num_rows:
            return []
        keyless, faults = label_faults(rows, self._label_columns, self.layout.label_bytes)
        rejected = [Rejected(row, reason, True) for row, reason in faults]
        place: Ints = np.arange(len(kafka_us) if kafka_us is not None else int(rows.num_rows), dtype=np.int64)
        if keyless.any():
            self.dead += int(keyless.sum())
            place = np.flatnonzero(~keyless)
            rows = rows.take(pa.array(place))
            kafka_us = None if kafka_us is None else kafka_us[place]
        checked = check(rows, kafka_us, self.layout)
        rejected += [Rejected(int(place[row]), reason, False) for row, reason in checked.reasons]
        arrival_us = checked.event_us if kafka_us is None else kafka_us
        counted = ~(checked.late | checked.unusable)
        time_us = np.where(counted, checked.event_us, arrival_us)
        cells = self._cells_of(rows, time_us // self.layout.window_us)
        self._changed[cells] = True
        self._count(rows, cells, checked, counted, arrival_us)
        return sorted(rejected, key=lambda reject: reject.row)

    def _count(self, rows: pa.RecordBatch, cells: Ints, checked: Checked, counted: Bools, arrival_us: Ints) -> None:
        n = len(self._keys)
        self._scalars[:, 2] += np.bincount(cells[checked.late], minlength=n)
        self._scalars[:, 3] += np.bincount(cells[checked.unusable], minlength=n)
        event_us, weight, measures = checked.event_us, checked.weight, checked.measures
        if not counted.all():
            keep = np.flatnonzero(counted)
            rows, cells, event_us, weight = rows.take(pa.array(keep)), cells[keep], event_us[keep], weight[keep]
            arrival_us = arrival_us[keep]
            measures = [Values(m.name, m.present[keep], m.value[keep], m.whole[keep]) for m in measures]
        if not len(cells):
            return
        latest = int(event_us.max())
        self.max_event_time = latest if self.max_event_time is None else max(latest, self.max_event_time)
        errors = error_rows(rows)
        units: Any = rows.column("unit_id")
        with_unit = valid(units)
        hashes = unit_hash(units)
        self._scalars[:, 0] += np.bincount(cells, minlength=n)
        self._scalars[:, 1] += np.bincount(cells[errors], minlength=n)
        self._scalars[:, 4] += np.bincount(cells[with_unit], minlength=n)
        self._scalars[:, 5] += exact_sums(cells, weight, n)
        self._scalars[:, 6] += exact_sums(cells[errors], weight[errors], n)
        self._scalars[:, 7] += exact_sums(cells, arrival_us - event_us, n)
        self._widen(cells, weight)
        self._sample(rows, cells, event_us, hashes)
        failed = errors & with_unit
        if failed.any():
            self._error_buckets.add(cells[failed], bucket(hashes[failed]))
            self._affected.add(cells[failed], hashes[failed] >> np.uint64(HASH_BITS))
        for measure in measures:
            if measure.present.any():
                self._measure(measure, cells, with_unit, hashes)

    def _widen(self, cells: Ints, weight: Ints) -> None:
        low, high = int(weight.min()), int(weight.max())
        present = np.flatnonzero(np.bincount(cells, minlength=len(self._keys)))
        if low == high:
            lowest = highest = np.full(len(present), low, np.int64)
        else:
            least = np.full(len(self._keys), np.iinfo(np.int64).max)
            most = np.zeros(len(self._keys), np.int64)
            np.minimum.at(least, cells, weight)
            np.maximum.at(most, cells, weight)
            lowest, highest = least[present], most[present]
        held = self._weight_range[present]
        self._weight_range[present, 0] = np.where(held[:, 0] == 0, lowest, np.minimum(held[:, 0], lowest))
        self._weight_range[present, 1] = np.maximum(held[:, 1], highest)

    def _sample(self, rows: pa.RecordBatch, cells: Ints, event_us: Ints, hashes: Hashes) -> None:
        """One row in 64 by its content, so that a repeated row is sampled every time."""
        mixed = event_us.view(np.uint64) * _MIX[0] ^ hashes
        mixed ^= integers(rows.column("duration_us")).view(np.uint64) * _MIX[1]
        mixed ^= integers(rows.column("status")).view(np.uint64)
        mixed ^= mixed >> np.uint64(31)
        mixed *= _MIX[2]
        mixed ^= mixed >> np.uint64(29)
        sampled = np.flatnonzero(mixed % np.uint64(ROW_SAMPLE) == 0)
        self._row_sample.add(cells[sampled], mixed[sampled] >> np.uint64(HASH_BITS))

    def _measure(self, values: Values, cells: Ints, with_unit: Bools, hashes: Hashes) -> None:
        tally = self._measures.setdefault(values.name, MeasureTally(values.name))
        n = len(self._keys)
        tally.rows, tally.total = _grown(tally.rows, n), _grown(tally.total, n)
        value, whole = values.value, values.whole
        if not values.present.all():
            keep = np.flatnonzero(values.present)
            cells, value, whole, with_unit, hashes = (
                cells[keep],
                value[keep],
                whole[keep],
                with_unit[keep],
                hashes[keep],
            )
        tally.rows += np.bincount(cells, minlength=n)
        tally.total += exact_sums(cells, whole, n)
        bins = bin_of(value)
        tally.histogram.add(cells, bins)
        if not with_unit.all():
            keep = np.flatnonzero(with_unit)
            cells, bins, hashes = cells[keep], bins[keep], hashes[keep]
        tally.joint.add(cells, bucket(hashes) * QUARTERS + quarter_octave(bins))

    # -- labels to cells -----------------------------------------------------------------------------------------

    def _cells_of(self, rows: pa.RecordBatch, windows: Ints) -> Ints:
        """Number of each row's cell, int64 (n,); new cells in order of their first row."""
        first_window = int(windows.min())
        code, size = windows - first_window, int(windows.max()) - first_window + 1
        columns: list[Ints] = []
        words: list[list[str | None]] = []
        for name in self._label_columns:
            column, known = _codes(rows.column(name))
            columns.append(column)
            words.append(known)
            if size * len(known) > DENSE_MAX:
                _, code = np.unique(code, return_inverse=True)
                size = int(code.max()) + 1
            code, size = code * len(known) + column, size * len(known)
        if size > DENSE_MAX:
            _, code = np.unique(code, return_inverse=True)
            size = int(code.max()) + 1
        first = np.full(size, len(code))
        first[code[::-1]] = np.arange(len(code) - 1, -1, -1)
        seen = np.sort(first[first < len(code)])
        cell_of_code = np.zeros(size, np.int64)
        numbers, crowded_from = self._numbers(_keys(seen, columns, words, windows))
        cell_of_code[code[seen[: len(numbers)]]] = numbers
        cells = cell_of_code[code]
        if crowded_from < len(seen):
            later: Ints = np.arange(int(seen[crowded_from]), len(code), dtype=np.int64)
            cells[later] = [self._number(*key) for key in _keys(later, columns, words, windows)]
        self._grow()
        return cells

    def _numbers(self, keys: Iterator[Key]) -> tuple[list[int], int]:
        """Cell numbers of keys in order of offset, up to the first that is not admitted, and how many these are."""
        numbers: list[int] = []
        for labels, window in keys:
            number = self._admission.cell(labels, window)
            if number is None:
                break
            numbers.append(number)
        return numbers, len(numbers)

    def _number(self, labels: Labels, window: int) -> int:
        number = self._admission.cell(labels, window)
        return self._admission.late(labels, window) if number is None else number

    def _grow(self) -> None:
        n = len(self._keys)
        for labels, _ in self._keys[len(self._routes) :]:
            self._routes.append(delta_partition(str(labels[1]), str(labels[2]), self.layout.delta_partitions))
        self._scalars = _grown(self._scalars, n)
        self._weight_range, self._changed = _grown(self._weight_range, n), _grown(self._changed, n)

    # -- cells out -----------------------------------------------------------------------------------------------

    @property
    def rows_d(self) -> list[int]:
        """Rows (late and quarantined ones, too) routed to each delta partition."""
        seen = self._scalars[:, 0] + self._scalars[:, 2] + self._scalars[:, 3]
        totals = np.zeros(self.layout.delta_partitions, np.int64)
        np.add.at(totals, np.array(self._routes, np.int64), seen)
        return totals.tolist()

    def cells(self, partition: int | None = None) -> list[Cell]:
        """All cells, or those of one delta partition, in order of first offset."""
        return list(self._cells(np.arange(len(self._keys)), partition))

    def changed_cells(self, partition: int | None = None) -> list[Cell]:
        """Cells with rows since they were last taken; taking all (`partition` None) or one partition's clears them."""
        routes = np.array(self._routes, np.int64)
        mine = self._changed if partition is None else self._changed & (routes == partition)
        which = np.flatnonzero(mine)
        self._changed[which] = False
        return list(self._cells(which, None))

    def _cells(self, which: Ints, partition: int | None) -> Iterator[Cell]:
        if partition is not None:
            which = which[np.array(self._routes, np.int64)[which] == partition]
        if not len(which):
            return
        errors, affected = self._error_buckets.packed(which), self._affected.packed(which, AFFECTED_MAX)
        samples = self._row_sample.packed(which)
        measures = [
            _measures(tally, which, len(self._keys)) for _, tally in sorted(self._measures.items(), key=_duration_first)
        ]
        scalars, ranges = self._scalars[which].tolist(), self._weight_range[which].tolist()
        numbers: list[int] = which.tolist()
        for i, number in enumerate(numbers):
            labels, window = self._keys[number]
            experiment_id, service, environment, version, variant, *dimensions = labels
            counted, failed, late, quarantined, with_unit, weight, error_weight, lag = scalars[i]
            least, most = ranges[i]
            yield Cell(
                experiment_id, str(service), str(environment), str(version), variant, tuple(dimensions),
                window * self.layout.window_us, counted + late + quarantined, counted, failed, late, quarantined, with_unit,
                weight, error_weight, least, most, lag, errors[i], affected[i], samples[i],
                tuple(found for measure in measures if (found := measure[i]) is not None),
            )  # fmt: skip


def _duration_first(item: tuple[str, MeasureTally]) -> tuple[bool, str]:
    return (item[0] != "duration_us", item[0])


def _measures(tally: MeasureTally, which: Ints, n: int) -> Sequence[Measure | None]:
    rows, totals = _grown(tally.rows, n)[which].tolist(), _grown(tally.total, n)[which].tolist()
    histograms, joints = tally.histogram.packed(which), tally.joint.packed(which)
    return [
        Measure(tally.name, rows[i], totals[i], histograms[i], joints[i]) if rows[i] else None
        for i in range(len(which))
    ]


def _grown(array: npt.NDArray[Any], n: int) -> npt.NDArray[Any]:
    """The array with zeros up to length n."""
    missing = n - len(array)
    return array if missing <= 0 else np.concatenate((array, np.zeros((missing, *array.shape[1:]), array.dtype)))


def _codes(column: Any) -> tuple[Ints, list[str | None]]:
    """Dictionary codes int64 (n,) and what they stand for; null is a word like others."""
    encoded = pc.dictionary_encode(column)
    words: list[str | None] = encoded.dictionary.to_pylist()
    indices = encoded.indices
    if indices.null_count:
        indices = pc.fill_null(indices, len(words))
        words.append(None)
    return indices.to_numpy(zero_copy_only=False).astype(np.int64), words


def _keys(rows: Ints, columns: list[Ints], words: list[list[str | None]], windows: Ints) -> Iterator[Key]:
    """Labels and windows of some rows."""
    labels: list[list[str | None]] = []
    for column, known in zip(columns, words, strict=True):
        codes: list[int] = column[rows].tolist()
        labels.append([known[code] for code in codes])
    return zip(zip(*labels, strict=True), windows[rows].tolist(), strict=True)


def error_rows(rows: pa.RecordBatch) -> Bools:
    """Rows that failed: `error` where it is told, else status >= 500; bool (n,)."""
    by_status = integers(rows.column("status")) >= 500
    told: Any = rows.column("error")
    if told.null_count == len(told):
        return by_status
    return np.where(valid(told), pc.fill_null(told, False).to_numpy(zero_copy_only=False), by_status)


def exact_sums(cells: Ints, values: Ints, n: int) -> Ints:
    """Sum of int64 values per cell, int64 (n,): in halves where binary64, which bincount adds in, could round."""
    if not len(values):
        return np.zeros(n, np.int64)
    if int(np.abs(values).max()) * len(values) < 1 << 53:
        return np.bincount(cells, values, n).astype(np.int64)
    high = np.bincount(cells, values >> 24, n).astype(np.int64)
    return (high << 24) + np.bincount(cells, values & ((1 << 24) - 1), n).astype(np.int64)
