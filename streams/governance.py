"""Which rows count: too late, from the future or with unusable values, decided per row and by the row alone.

A row is late against its own Kafka timestamp, never against a clock or its neighbours, so that whoever reads the log
decides the same. Recorded files have no such time: nothing in them is late.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.delta import SAMPLE_RATE_ONE
from streams.layout import Layout
from streams.unit_hash import string_buffers

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
INTEGER_MEASURES = ("duration_us", "cpu_us", "memory_bytes")
"""Measures that are columns of the event, in whole units."""
VALUE_MAX = 1 << 46
"""Largest value of a measure in its resolution: sums of a block then fit 63 bits."""
SAMPLE_RATE_MIN = 1 / SAMPLE_RATE_ONE
ASCII_VISIBLE = (0x21, 0x7E)
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff"
    "\uffa0\ufff0-\uffff\ue000-\uf8ff\U000e0000-\U0010ffff]|^\\s|\\s$"
)


@dataclass(frozen=True, slots=True)
class Values:
    """One measure: rows that carry it, its value float64 (n,), and in whole units of its resolution int64 (n,)."""

    name: str
    present: Bools
    value: Floats
    whole: Ints


@dataclass(frozen=True, slots=True)
class Checked:
    """`late` and `unusable` exclude each other; `reasons` names (row, reason) of the unusable ones."""

    event_us: Ints
    late: Bools
    unusable: Bools
    reasons: list[tuple[int, str]]
    weight: Ints
    measures: list[Values]


def check(rows: pa.RecordBatch, kafka_us: Ints | None, layout: Layout) -> Checked:
    """Every row's fate; `kafka_us` int64 (n,) or None for recorded rows."""
    event_us = integers(rows.column("timestamp"))
    n = len(event_us)
    faults: list[tuple[Bools, str]] = []
    measures = [_integer(name, rows) for name in INTEGER_MEASURES]
    measures += [_from_map(name, resolution, rows) for name, resolution in layout.measures]
    for measure in measures:
        if measure.present.any():
            bad = measure.present & ~((measure.value >= 0) & (np.abs(measure.whole) <= VALUE_MAX))
            faults.append((bad, f"{measure.name} is negative, too large or no number"))
    rate = rows.column("sample_rate").to_numpy()
    usual = bool((rate == 1.0).all())
    if not usual:
        faults.append((~((rate >= SAMPLE_RATE_MIN) & (rate <= 1)), "sample_rate is not between 2^-20 and 1"))
    late = np.zeros(n, np.bool_)
    if kafka_us is not None:
        faults.append((event_us > kafka_us + layout.future_us, "the event's timestamp lies in the future"))
        late = event_us < kafka_us - layout.lateness_us
    unusable = np.zeros(n, np.bool_)
    reasons: list[tuple[int, str]] = []
    for bad, reason in faults:
        if bad.any():
            reasons += [(int(row), reason) for row in np.flatnonzero(bad & ~unusable)]
            unusable |= bad
    weight = np.full(n, SAMPLE_RATE_ONE, np.int64)
    if not usual:
        weight = np.round(SAMPLE_RATE_ONE / np.where(unusable, 1.0, rate)).astype(np.int64)
    return Checked(event_us, late & ~unusable, unusable, sorted(reasons), weight, measures)


def label_faults(
    rows: pa.RecordBatch, columns: Sequence[str], label_bytes_max: int
) -> tuple[Bools, list[tuple[int, str]]]:
    """Rows with a label that is empty, too long or does not print: they have no usable key. Each with its first reason."""
    bad = np.zeros(rows.num_rows, np.bool_)
    reasons: list[tuple[int, str]] = []
    for name in columns:
        column: Any = rows.column(name)
        for wrong, reason in _faults_of(column, label_bytes_max):
            found = pc.fill_null(wrong, False).to_numpy(zero_copy_only=False) & ~bad
            bad |= found
            reasons += [(int(row), f"{name} {reason}") for row in np.flatnonzero(found)]
    return bad, sorted(reasons)


def _faults_of(column: Any, label_bytes_max: int) -> Iterator[tuple[Any, str]]:
    sizes = pc.binary_length(column)
    least, most = (bound.as_py() for bound in pc.min_max(sizes).values())
    if most is None:
        return
    if most > label_bytes_max or not least:
        wrong = pc.or_(pc.greater(sizes, label_bytes_max), pc.equal(sizes, 0))
        yield wrong, f"is empty or longer than {label_bytes_max} bytes"
    offsets, data = string_buffers(column)
    data = data[offsets[0] : offsets[-1]]
    if len(data) and (data.min() < ASCII_VISIBLE[0] or data.max() > ASCII_VISIBLE[1]):
        encoded = pc.dictionary_encode(column.view(pa.binary()))
        wrong = np.array([not printable(word) for word in encoded.dictionary.to_pylist()])
        yield pc.take(pa.array(wrong), encoded.indices), "is not UTF-8 or holds characters that do not print"


def printable(word: bytes) -> bool:
    """Whether a label is UTF-8 that a person can see and tell from others: no control characters, nothing of no width
    or that turns the direction of writing, no line or paragraph separator, nothing private, no space at its ends. The
    list is fixed here and not Unicode's newest, since what ingest refuses must not depend on a library's version.

    >>> printable("2.4.0 (größer)".encode()), printable(b"2.4.0\\n"), printable(b"\\xff"), printable("2\\u200b".encode())
    (True, False, False, False)
    """
    try:
        return _UNPRINTABLE.search(word.decode()) is None
    except UnicodeDecodeError:
        return False


def integers(column: Any) -> Ints:
    """int64 (n,) of an Arrow column of integers or times; nulls become 0."""
    whole = column.cast(pa.int64())
    return (pc.fill_null(whole, 0) if whole.null_count else whole).to_numpy(zero_copy_only=False)


def valid(column: Any) -> Bools:
    """Rows that are not null, bool (n,)."""
    if column.null_count == 0:
        return np.ones(len(column), np.bool_)
    return column.is_valid().to_numpy(zero_copy_only=False)


def _integer(name: str, rows: pa.RecordBatch) -> Values:
    column = rows.column(name)
    if column.null_count == len(column):
        nothing = np.zeros(len(column), np.int64)
        return Values(name, np.zeros(len(column), np.bool_), nothing.astype(np.float64), nothing)
    whole = integers(column)
    return Values(name, valid(column), whole.astype(np.float64), whole)


def _from_map(name: str, resolution: float, rows: pa.RecordBatch) -> Values:
    """A registered name out of the map of measures; of a name that stands twice in a row, the last."""
    column: Any = rows.column("measures")
    n = len(column)
    present, value = np.zeros(n, np.bool_), np.zeros(n, np.float64)
    if column.null_count < n:
        offsets = np.frombuffer(column.buffers()[1], np.int32, n + 1, column.offset * 4)
        entry_row = np.repeat(np.arange(n), np.diff(offsets))
        size = int(offsets[-1] - offsets[0])
        named = pc.equal(column.keys.slice(offsets[0], size), name).to_numpy(zero_copy_only=False)
        places = entry_row[named]
        present[places] = True
        value[places] = column.items.slice(offsets[0], size).to_numpy(zero_copy_only=False)[named]
    scaled = np.round(value / resolution)
    whole = np.where(np.abs(scaled) <= VALUE_MAX, scaled, VALUE_MAX + 1.0).astype(np.int64)  # NaN fails the test, too
    return Values(name, present, value, whole)
