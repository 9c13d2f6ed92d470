"""Request events as rows of `events`: a sample of a topic's records (`streams.sampling`), decoded as ingest decodes them.

A row is a function of its record and of the configuration: the same one, whoever reads it and however often. What ingest would
write to the dead letters is left out and told; what it counts as late or quarantines is there, and says so in `fate`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow  # pyright: ignore[reportMissingTypeStubs]  # has no types

from schemas.config import Config
from schemas.frozen import frozen
from streams.fetch import Records
from streams.formats import decoders
from streams.formats.base import Headers
from streams.governance import LABELS, fates, reason
from streams.kernels import tally
from streams.layout import Layout
from streams.packed import Bytes, Ints, Packed, gathered
from streams.rows import LONGS, TEXTS, Rows
from streams.sampling import sampled
from streams.sinks.columns import Columns, schema_of
from streams.sinks.tables import EVENTS

pa: Any = pyarrow
FATES = ("counted", "late", "quarantined")
TIME_MAX_US = (2**32 - 1) * 1_000_000
"""The last time that every ClickHouse can tell; later ones, and those before 1970, are told as the nearest."""
Unreadable = tuple[int, int, str]
"""Partition and offset of a record, and what is wrong with it or with one of its rows."""


@frozen()
class Sample:
    """n records of one topic; `partition`, `offset`, `kafka_us` int64 (n,)."""

    topic: str
    values: Packed
    partition: Ints
    offset: Ints
    kafka_us: Ints
    headers: Headers | None = None

    @classmethod
    def of(cls, records: Records, share: float) -> Sample:
        """Those of some records that belong to a sample, in a buffer of their own."""
        which = np.flatnonzero(sampled(records.topic, records.partition, records.offset, share))
        headers = None if records.headers is None else [records.headers[i] for i in which.tolist()]
        values = Packed.joined([records.values.take(which)])
        return cls(
            records.topic, values, records.partition[which], records.offset[which], records.kafka_us[which], headers
        )

    @classmethod
    def joined(cls, samples: Sequence[Sample]) -> Sample:
        """Those of one topic, one after the other."""
        headers = None if samples[0].headers is None else [h for sample in samples for h in sample.headers or ()]

        def whole(name: str) -> Any:
            return np.concatenate([getattr(sample, name) for sample in samples])

        values = Packed.joined([sample.values for sample in samples])
        return cls(samples[0].topic, values, whole("partition"), whole("offset"), whole("kafka_us"), headers)

    def __len__(self) -> int:
        return len(self.offset)


class EventReader:
    """Samples to columns, as configured."""

    def __init__(self, config: Config) -> None:
        self._decoders = decoders(config)
        self._layout = Layout.of(config)
        self._labels = (*LABELS, *self._layout.dimensions)
        self._share = config.raw_events.sample
        self._leave_out: Collection[str] = config.raw_events.leave_out

    @property
    def wants_headers(self) -> bool:
        """Whether records must come with their headers."""
        return any(decoder.wants_headers for decoder in self._decoders.values())

    def warm(self) -> None:
        """Compile what `read` needs."""
        none = np.zeros(1, np.int64)
        for topic in self._decoders:
            self.read(Sample(topic, Packed.of([b"\n\0"]), none, none, none, [None] if self.wants_headers else None))

    def read(self, sample: Sample) -> tuple[Columns, list[Unreadable]]:
        """The rows of all records that can be read, and what is wrong with the others."""
        decoded = self._decoders[sample.topic].decode(sample.values, sample.headers)
        unreadable = [_unreadable(sample, reject.index, reject.reason) for reject in decoded.rejects]
        record = decoded.index
        number = np.arange(len(record)) - np.searchsorted(record, record)
        fate = fates(self._layout, decoded.rows, sample.kafka_us[record])
        for row in np.flatnonzero(fate >= tally.DEAD).tolist():
            why = reason(int(fate[row]), self._layout, self._labels)
            unreadable.append(_unreadable(sample, int(record[row]), why))
        sound = np.flatnonzero(fate < tally.DEAD)
        rows, record = decoded.rows.take(sound), record[sound]
        found = {
            **{name: _texts(rows.data, rows.start[i], rows.length[i]) for i, name in enumerate(TEXTS)}, **_numbers(rows),
            "measures": _measures(rows, [name for name, _ in self._layout.measures]),
            "sample_rate": rows.rate * self._share, "received": _times(sample.kafka_us[record]),
            "fate": pa.DictionaryArray.from_arrays(np.minimum(fate[sound], len(FATES) - 1), pa.array(FATES)),
            "topic": pa.DictionaryArray.from_arrays(np.zeros(len(rows), np.int8), pa.array([sample.topic])),
            "partition": sample.partition[record], "offset": sample.offset[record], "row": number[sound],
        }  # fmt: skip
        schema = schema_of(EVENTS)
        found |= {name: _nothing(schema.field(name).type, len(rows)) for name in self._leave_out}
        arrays = [_as(found[field.name], field.type) for field in schema]
        return pa.Table.from_arrays(arrays, schema=schema), unreadable


def _unreadable(sample: Sample, record: int, why: str) -> Unreadable:
    return int(sample.partition[record]), int(sample.offset[record]), why


def _as(values: Any, kind: Any) -> Any:
    array = pa.array(values) if isinstance(values, np.ndarray) else values
    return array if array.type == kind else array.cast(kind)


def _nothing(kind: Any, n: int) -> Any:
    """Nulls, or maps without anything in them: the engine has no null map."""
    return pa.array([{}] * n, kind) if pa.types.is_map(kind) else pa.nulls(n, kind)


def _times(time_us: Ints) -> Any:
    return pa.array(np.clip(time_us, 0, TIME_MAX_US)).cast(pa.timestamp("us", "UTC"))


def _numbers(rows: Rows) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for i, name in enumerate(LONGS):
        missing = rows.present[i] == 0
        values = rows.longs[i] == 1 if name == "error" else rows.longs[i]
        found[name] = _times(values) if name == "timestamp" else pa.array(values, mask=missing)
    return found


def _texts(data: Bytes, start: Ints, length: npt.NDArray[np.int32]) -> Any:
    """A column of places in a buffer; a length below 0 is a null."""
    there = length >= 0
    size = np.where(there, length, 0).astype(np.int64)
    offsets = np.concatenate((np.zeros(1, np.int32), np.cumsum(size).astype(np.int32)))
    buffers = (np.packbits(there, bitorder="little"), offsets, gathered(data, start, size))
    return pa.StringArray.from_buffers(
        len(length), pa.py_buffer(buffers[1]), pa.py_buffer(buffers[2]), pa.py_buffer(buffers[0])
    )


def _measures(rows: Rows, names: Sequence[str]) -> Any:
    """The registered ones that each row has."""
    has = rows.has.T != 0
    row, which = np.nonzero(has)
    offsets = np.concatenate((np.zeros(1, np.int32), np.cumsum(has.sum(axis=1)).astype(np.int32)))
    keys = pa.array(names, pa.string()).take(pa.array(which))
    return pa.MapArray.from_arrays(pa.array(offsets, pa.int32()), keys, pa.array(rows.values[which, row]))
