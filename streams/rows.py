"""RequestEvents as the first stage counts them: numpy columns, and texts as places in one buffer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.frozen import frozen

TEXTS = (
    "service", "environment", "version", "experiment_id", "variant", "segment", "unit_id", "instance", "endpoint",
)  # fmt: skip
LONGS = ("timestamp", "status", "error", "duration_us", "cpu_us", "memory_bytes")
"""Columns of integers; `error` is 0 or 1."""
COLUMNS = ("start", "length", "longs", "present", "values", "has")
"""Arrays of `Rows` with a column for each row."""


@frozen()
class Rows:
    """n events. `start` int64 (9, n) and `length` int32 (9, n), -1 for null, are where the `TEXTS` lie in `data` uint8;
    `longs` int64 (6, n) and `present` uint8 (6, n) are the `LONGS`; `rate` float64 (n,) the sampling rate; `values` float64
    (m, n) and `has` uint8 (m, n) the registered measures, in the order of their names."""

    data: npt.NDArray[np.uint8]
    start: npt.NDArray[np.int64]
    length: npt.NDArray[np.int32]
    longs: npt.NDArray[np.int64]
    present: npt.NDArray[np.uint8]
    rate: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]
    has: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.rate)

    def take(self, which: npt.NDArray[np.int64]) -> Rows:
        """The rows `which` int64 (k,) in that order."""

        def taken(name: str) -> Any:
            return np.take(getattr(self, name), which, axis=1)

        start, length, longs, present, values, has = map(taken, COLUMNS)
        return Rows(self.data, start, length, longs, present, self.rate[which], values, has)

    def put(self, which: npt.NDArray[np.int64], rows: Rows) -> None:
        """Write rows of the same `data` over the rows `which` int64 (k,)."""
        for name in COLUMNS:
            getattr(self, name)[:, which] = getattr(rows, name)
        self.rate[which] = rows.rate

    @classmethod
    def empty(cls, data: npt.NDArray[np.uint8], n: int, measures: int) -> Self:
        """n rows with nothing in them but a sampling rate of 1."""
        return cls(
            data, np.zeros((len(TEXTS), n), np.int64), np.full((len(TEXTS), n), -1, np.int32),
            np.zeros((len(LONGS), n), np.int64), np.zeros((len(LONGS), n), np.uint8), np.ones(n),
            np.zeros((measures, n)), np.zeros((measures, n), np.uint8),
        )  # fmt: skip

    @classmethod
    def of(cls, batch: pa.RecordBatch, measures: Sequence[str]) -> Self:
        """From Arrow columns as `EVENT_SCHEMA` names them."""
        texts = [_texts(batch.column(name)) for name in TEXTS]
        whole = np.concatenate([data for data, _, _ in texts])
        whole.flags.writeable = False  # as what comes from bytes is: the loops are compiled for one kind of array
        rows = cls.empty(whole, batch.num_rows, len(measures))
        begin = 0
        for i, (data, start, length) in enumerate(texts):
            rows.start[i], rows.length[i] = start + begin, length
            begin += len(data)
        for i, name in enumerate(LONGS):
            column: Any = batch.column(name)
            if column.null_count < len(column):
                whole = column.cast(pa.int64())
                rows.longs[i] = pc.fill_null(whole, 0).to_numpy(zero_copy_only=False)
                rows.present[i] = column.is_valid().to_numpy(zero_copy_only=False)
        rows.rate[:] = batch.column("sample_rate").to_numpy()
        for i, name in enumerate(measures):
            _measure(batch.column("measures"), name, rows.values[i], rows.has[i])
        return rows


def _texts(column: Any) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Bytes of an Arrow string column, and start and length of each text in them; -1 for null."""
    n, buffers = len(column), cast("list[Any]", column.buffers())
    if not n:
        return np.empty(0, np.uint8), np.empty(0, np.int32), np.empty(0, np.int32)
    offsets = np.frombuffer(buffers[1], np.int32, n + 1, column.offset * 4)
    data = np.frombuffer(buffers[2], np.uint8) if buffers[2] is not None else np.empty(0, np.uint8)
    length = np.diff(offsets)
    if column.null_count:
        length[~column.is_valid().to_numpy(zero_copy_only=False)] = -1
    return data[offsets[0] : offsets[-1]], offsets[:-1] - offsets[0], length


def _measure(column: Any, name: str, value: npt.NDArray[np.float64], has: npt.NDArray[np.uint8]) -> None:
    """A registered name out of the map of measures; of a name that stands twice in a row, the last."""
    n = len(column)
    if column.null_count == n:
        return
    offsets = np.frombuffer(column.buffers()[1], np.int32, n + 1, column.offset * 4)
    row, size = np.repeat(np.arange(n), np.diff(offsets)), int(offsets[-1] - offsets[0])
    named = pc.equal(column.keys.slice(offsets[0], size), name).to_numpy(zero_copy_only=False)
    has[row[named]] = 1
    value[row[named]] = column.items.slice(offsets[0], size).to_numpy(zero_copy_only=False)[named]
