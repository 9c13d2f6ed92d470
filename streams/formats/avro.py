"""Record values to columns: a batch of Avro records at once, and each bad one alone.

The single-object header is decoded as part of the record: to Avro's varints ``C3 01`` is the long -98, and the eight bytes
of the fingerprint are a double; so no message is copied to strip it. Confluent framing likewise: ``00`` is the boolean
false, the schema id four bytes of a float. The decoder rejects a batch for one bad record, so a failing batch is halved
until the bad ones stand alone; and it says nothing of trailing bytes, so the lengths that the columns imply are compared
with those that came.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyruhvro

from schemas import codec
from schemas.config import Config, Input
from streams.columns import EVENT_SCHEMA
from streams.formats.base import Decoded, Headers, Ints, Reject, Values, empty

MAGIC_LONG = -98
"""What ``C3 01`` is as a zigzag varint."""
VARINT_STEPS = tuple(1 << bits for bits in range(7, 64, 7))


class Avro:
    """The format."""

    name = "avro"

    def decoder(self, config: Config, topic: str, source: Input) -> AvroDecoder:
        """For single-object encoding."""
        return AvroDecoder(config.limits.record_bytes)

    def identity(self, config: Config, topic: str, source: Input) -> dict[str, Any]:
        """The schema that records must have."""
        return {"schemas": [codec.fingerprint("RequestEvent").hex()]}


class AvroDecoder:
    """Records of one topic."""

    wants_headers = False

    def __init__(self, record_bytes_max: int) -> None:
        self.record_bytes_max = record_bytes_max

    def decode(self, values: Values, headers: Headers | None = None) -> Decoded:
        """Columns of all records that can be used, and the others with their reasons."""
        lengths = np.fromiter(map(len, cast("list[bytes]", values)), np.int64, len(values)) if all(values) else None
        if lengths is not None and (not len(lengths) or int(lengths.max()) <= self.record_bytes_max):
            rows = _whole(cast("list[bytes]", values), lengths)
            if rows is not None:
                return Decoded(rows, np.arange(len(values)), [])
        return _apart(values, self.record_bytes_max)


FORMAT = Avro()


@cache
def _framed_schema() -> str:
    """RequestEvent behind its single-object header."""
    schema = codec.document("RequestEvent")
    schema["fields"] = [
        {"name": "_magic", "type": "long"},
        {"name": "_fingerprint", "type": "double"},
        *schema["fields"],
    ]
    return json.dumps(schema)


@cache
def _fingerprint_bits() -> int:
    return int(np.frombuffer(codec.fingerprint("RequestEvent"), np.int64)[0])


def _whole(values: list[bytes], lengths: Ints) -> pa.RecordBatch | None:
    """All records at once, or None where one of them is not as it should be."""
    if not values:
        return empty()
    rows = _columns(values)
    if rows is None or encoded_bytes(rows) + codec.HEADER_BYTES * len(values) != int(lengths.sum()):
        return None
    return rows


def _columns(values: list[bytes]) -> pa.RecordBatch | None:
    try:
        batch = pyruhvro.deserialize_array(values, _framed_schema())
    except BaseException as error:  # pyo3's PanicException is no Exception
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise
        return None
    magic, fingerprint = batch.column(0).to_numpy(), batch.column(1).to_numpy().view(np.int64)
    if (magic != MAGIC_LONG).any() or (fingerprint != _fingerprint_bits()).any():
        return None
    return pa.RecordBatch.from_arrays(batch.columns[2:], schema=EVENT_SCHEMA)


def _apart(values: Values, record_bytes_max: int) -> Decoded:
    """The slow way: look at every header, then halve what fails."""
    rejects: list[Reject] = []
    usable: list[int] = []
    for index, value in enumerate(values):
        reason = _header_fault(value, record_bytes_max)
        if reason is None:
            usable.append(index)
        else:
            rejects.append(Reject(index, reason))
    good: list[tuple[pa.RecordBatch, list[int]]] = []
    _halve(cast("list[bytes]", values), usable, good, rejects)
    index = np.array([i for _, part in good for i in part], np.int64)
    rows: list[pa.RecordBatch] = (
        pa.Table.from_batches([part for part, _ in good], EVENT_SCHEMA).combine_chunks().to_batches() if good else []
    )
    rejects.sort(key=lambda reject: reject.index)
    return Decoded(rows[0] if rows else empty(), index, rejects)


def _header_fault(value: bytes | None, record_bytes_max: int) -> str | None:
    if not value:
        return "the record is empty"
    if len(value) > record_bytes_max:
        return f"the record has {len(value)} bytes, more than limits.record_bytes ({record_bytes_max})"
    if value[:2] != codec.MAGIC:
        return "the record is not in Avro single-object encoding (it does not begin with C3 01)"
    if value[: codec.HEADER_BYTES] != codec.header("RequestEvent"):
        return f"unknown schema fingerprint {value[2 : codec.HEADER_BYTES].hex()}"
    return None


def _halve(
    values: list[bytes], indices: list[int], good: list[tuple[pa.RecordBatch, list[int]]], rejects: list[Reject]
) -> None:
    if not indices:
        return
    part = [values[i] for i in indices]
    lengths = np.fromiter(map(len, part), np.int64, len(part))
    rows = _whole(part, lengths)
    if rows is not None:
        good.append((rows, indices))
    elif len(indices) == 1:
        _alone(part[0], indices[0], good, rejects)
    else:
        middle = len(indices) // 2
        _halve(values, indices[:middle], good, rejects)
        _halve(values, indices[middle:], good, rejects)


def _alone(value: bytes, index: int, good: list[tuple[pa.RecordBatch, list[int]]], rejects: list[Reject]) -> None:
    """One record that the fast way refused: the strict reader has the last word (lengths may be unusual, yet right)."""
    try:
        codec.decode_as("RequestEvent", value)
    except (codec.Malformed, codec.UnknownSchema) as error:
        rejects.append(Reject(index, str(error)))
        return
    rows = _columns([value])
    if rows is None:
        rejects.append(Reject(index, "the record does not follow its schema"))
    else:
        good.append((rows, [index]))


# -- how long the records must have been -----------------------------------------------------------------------------


def encoded_bytes(rows: pa.RecordBatch) -> int:
    """Bytes of all rows' Avro bodies in their usual encoding; more came where some record has trailing bytes."""
    fields: list[pa.Field] = list(EVENT_SCHEMA)
    return sum(_column_bytes(field, rows.column(i)) for i, field in enumerate(fields))


def _column_bytes(field: pa.Field, column: Any) -> int:
    present = len(column) - column.null_count
    branch = len(column) if field.nullable else 0
    if pa.types.is_string(field.type):
        return branch + _string_bytes(column, present)
    if pa.types.is_map(field.type):
        return branch + _map_bytes(column, present)
    if pa.types.is_boolean(field.type) or pa.types.is_floating(field.type):
        return branch + present * (1 if pa.types.is_boolean(field.type) else 8)
    if not present:
        return branch
    values = column.drop_null() if column.null_count else column
    return branch + _varint_bytes(values.cast(pa.int64()).to_numpy())


def _varint_bytes(values: Ints) -> int:
    """Bytes of the zigzag varints of int64 (n,)."""
    if not len(values):
        return 0
    zigzag = ((values << 1) ^ (values >> 63)).view(np.uint64)
    smallest, largest = int(zigzag.min()), int(zigzag.max())
    total = len(values)
    for step in VARINT_STEPS:
        if largest < step:
            break
        total += len(values) if smallest >= step else int(np.count_nonzero(zigzag >= np.uint64(step)))
    return total


def _string_bytes(column: Any, present: int) -> int:
    """Lengths and characters; a null has neither."""
    if not present:
        return 0
    offsets = np.frombuffer(column.buffers()[1], np.int32, len(column) + 1, column.offset * 4)
    return int(offsets[-1] - offsets[0]) + present - len(column) + _varint_bytes(np.diff(offsets).astype(np.int64))


def _map_bytes(column: Any, present: int) -> int:
    """One block with its count, the entries, the end; an empty map is its end alone."""
    if not present:
        return 0
    offsets = np.frombuffer(column.buffers()[1], np.int32, len(column) + 1, column.offset * 4).astype(np.int64)
    counts = np.diff(offsets)
    keys = column.keys.slice(offsets[0], offsets[-1] - offsets[0])
    return present + _varint_bytes(counts[counts > 0]) + _string_bytes(keys, len(keys)) + 8 * len(keys)
