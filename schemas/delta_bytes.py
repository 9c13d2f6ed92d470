"""Cells and progress straight to Avro bytes: ingest writes thousands a second, and walking records costs ten times as much.

The bytes are those of the general writer (`schemas.codec.encode`); a test compares them.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from schemas.delta import Cell, Cells, Measure, Progress

WORDS_MAX = 8_192
"""Encoded labels that are kept for the next cell."""
_SMALL = 8_192


def _varint(value: int) -> bytes:
    """An Avro long: zigzag, then seven bits a byte."""
    rest = (value << 1) ^ (value >> 63)
    out = bytearray()
    while rest > 0x7F:
        out.append((rest & 0x7F) | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


_LONGS = [_varint(value) for value in range(_SMALL)]


def _long(value: int) -> bytes:
    return _LONGS[value] if 0 <= value < _SMALL else _varint(value)


@lru_cache(WORDS_MAX)
def _text(value: str) -> bytes:
    data = value.encode()
    return _long(len(data)) + data


@lru_cache(WORDS_MAX)
def _optional(value: str | None) -> bytes:
    return b"\x00" if value is None else b"\x02" + _text(value)


def _bytes(value: bytes) -> bytes:
    return _long(len(value)) + value


def _array(items: list[bytes]) -> bytes:
    return b"".join((_long(len(items)), *items, b"\x00")) if items else b"\x00"


def _longs(values: Iterable[int]) -> bytes:
    return b"".join(map(_long, values))


def cells(delta: Cells) -> bytes:
    """The body of a `Cells` delta, its place in the union first."""
    head = (b"\x00", _text(delta.digest), _text(delta.topic_id), _longs((delta.partition, delta.block, delta.upto)))
    return b"".join((*head, _array([_cell(cell) for cell in delta.cells])))


def _cell(cell: Cell) -> bytes:
    return b"".join(
        (
            _optional(cell.experiment_id), _text(cell.service), _text(cell.environment), _text(cell.version),
            _optional(cell.variant), _array([_optional(value) for value in cell.dimensions]),
            _longs((
                cell.window, cell.seen, cell.rows, cell.errors, cell.late, cell.quarantined, cell.with_unit, cell.weight,
                cell.error_weight, cell.weight_min, cell.weight_max, cell.lag_us,
            )),
            _bytes(cell.error_buckets), _bytes(cell.affected), _bytes(cell.row_sample),
            _array([_measure(measure) for measure in cell.measures]),
        )
    )  # fmt: skip


def _measure(measure: Measure) -> bytes:
    return b"".join(
        (
            _text(measure.name),
            _long(measure.rows),
            _long(measure.total),
            _bytes(measure.histogram),
            _bytes(measure.joint),
        )
    )


def progress(delta: Progress) -> bytes:
    """The body of a `Progress` delta, its place in the union first."""
    latest = b"\x00" if delta.max_event_time is None else b"\x02" + _long(delta.max_event_time)
    return b"".join(
        (
            b"\x02", _text(delta.digest), _text(delta.topic_id),
            _longs((
                delta.partition, delta.block, delta.upto, delta.rows_d, delta.read, delta.dead, delta.empty_from,
                delta.n_partitions, delta.high_watermark,
            )),
            latest, _long(delta.wall_time),
        )
    )  # fmt: skip
