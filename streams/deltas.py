"""Deltas as the judge takes them: cells stay the bytes that ingest wrote until somebody asks what they add up to.

A cell is told many times before its window closes, and only its newest version counts: most of what is told is never
unpacked. `read` finds where the cells of many messages lie in one compiled pass; what it does not understand (blocks of
arrays with their size in front, say) goes through the general reader.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, cast

import fastavro
import numpy as np
import numpy.typing as npt

from analyzers.arm import DURATION, EMPTY, ArmWindow, MeasureSum, SparseCounts
from schemas import codec
from schemas.codec import Malformed, UnknownSchema
from schemas.delta import Cell, Cells, Claim, ControlCopy, Measure, Progress, Truncated, decode_delta, encode_delta
from streams.kernels import cell_read, cell_sum

Ints = npt.NDArray[np.int64]
Labels = tuple[str | None, str, str, str, str | None, tuple[str | None, ...]]
"""Experiment id, service, environment, version, variant, dimensions."""
LABELS_CACHED, SOURCES_CACHED = 65_536, 4096
LONG_MAX = (1 << 63) - 1
_CELLS = codec.header("Delta") + b"\0"
"""How a record of cells begins: the first branch of the union."""
_NO_SECTIONS = b"\0\0\0\0"


@dataclass(slots=True, eq=False)
class PackedCell:
    """One cell at `upto`: `key` is its labels and window as bytes, `body` the rest, of which `longs` bytes come before the
    packed counts."""

    upto: int
    key: bytes
    labels: bytes
    body: bytes
    longs: int
    window: int
    seen: int
    rows: int
    late: int
    quarantined: int

    @property
    def counts_only(self) -> bytes:
        """The body without what only evidence needs."""
        return self.body[: self.longs] + _NO_SECTIONS


@dataclass(slots=True, eq=False)
class PackedCells:
    """As `schemas.delta.Cells`."""

    digest: str
    topic_id: str
    partition: int
    block: int
    upto: int
    cells: list[PackedCell]


Read = PackedCells | Progress | ControlCopy | Truncated | Claim


def read(values: Sequence[bytes | None]) -> list[Read | Malformed | UnknownSchema | None]:
    """Each record of the delta log, or why it is none; None stays None."""
    ours = [value is not None and value.startswith(_CELLS) for value in values]
    data = b"".join(cast(bytes, value) for value, cells in zip(values, ours, strict=True) if cells)
    lengths = np.array([len(cast(bytes, v)) for v, cells in zip(values, ours, strict=True) if cells], np.int64)
    ends = np.cumsum(lengths)
    found = iter(_found(data, ends - lengths, ends))
    return [(next(found) if cells else None) or _general(value) for value, cells in zip(values, ours, strict=True)]


def _general(value: bytes | None) -> Read | Malformed | UnknownSchema | None:
    if value is None:
        return None
    try:
        delta = decode_delta(value)
    except (Malformed, UnknownSchema) as error:
        return error
    if not isinstance(delta, Cells):
        return delta
    again = encode_delta(delta)
    found = next(_found(again, np.zeros(1, np.int64), np.array([len(again)])))
    return found or Malformed("the counts of a cell are not packed as ingest packs them")


def _found(data: bytes, begin: Ints, end: Ints) -> Iterator[PackedCells | None]:
    """The cells of each message [begin, end); None where the general reader must look."""
    messages = np.empty((len(begin), cell_read.MESSAGE), np.int64)
    cells = np.empty((len(data) // cell_read.CELL_BYTES_MIN, cell_read.CELL), np.int64)
    first = begin + len(_CELLS)
    cell_read.index(np.frombuffer(data, np.uint8), first, end, messages, cells)
    places = cells[: int(messages[:, -1].clip(0).sum())].tolist()
    for start, (source_end, block, upto, begun, count) in zip(first.tolist(), messages.tolist(), strict=True):
        if count < 0:
            yield None
            continue
        yield PackedCells(*_source(data[start:source_end]), block, upto, [
            PackedCell(
                upto, data[at:key_end], data[at:labels_end], data[key_end:cell_end], longs_end - key_end, window, seen,
                rows, late, quarantined,
            )
            for at, labels_end, key_end, longs_end, cell_end, window, seen, rows, late, quarantined
            in places[begun : begun + count]
        ])  # fmt: skip


@lru_cache(SOURCES_CACHED)
def _source(head: bytes) -> tuple[str, str, int]:
    """Digest, topic id and partition."""
    found = fastavro.schemaless_reader(io.BytesIO(head), _reader("Cells", 0, 3), None)
    return tuple(cast("dict[str, Any]", found).values())  # pyright: ignore[reportReturnType]


@lru_cache(LABELS_CACHED)
def labels_of(labels: bytes) -> Labels:
    """What the labels of a cell say."""
    found = fastavro.schemaless_reader(io.BytesIO(labels), _reader("Cell", 0, 6), None)
    *texts, dimensions = cast("dict[str, Any]", found).values()
    return (*texts, tuple(dimensions))  # pyright: ignore[reportReturnType]


@cache
def _reader(record: str, begin: int, end: int | None) -> Any:
    """Some neighbouring fields of one of a delta's records."""
    kinds = codec.document("Delta")["fields"][0]["type"]
    kind = next(kind for kind in kinds if kind["name"] == "Cells")
    if record == "Cell":
        kind = kind["fields"][-1]["type"]["items"]
    return codec.parse({"type": "record", "name": "Part", "fields": kind["fields"][begin:end]})


def counts_of(body: bytes) -> tuple[int, int, int, int]:
    """Of one cell's body: rows, errors, rows with a duration, and the sum of these durations in microseconds."""
    found = cast("dict[str, Any]", fastavro.schemaless_reader(io.BytesIO(body), _reader("Cell", 7, None), None))
    timed = next((one for one in found["measures"] if one["name"] == DURATION), None)
    return found["rows"], found["errors"], timed["rows"] if timed else 0, timed["total"] if timed else 0


# -- sums --------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Sum:
    """What `cell_sum.add_up` gives, as Python counts: exact whatever the sums are."""

    data: npt.NDArray[np.uint8]
    longs: list[int]
    names: Ints
    measures: list[tuple[int, int]]
    starts: Ints
    keys: Ints
    counts: Ints

    @classmethod
    def of(cls, bodies: Sequence[bytes]) -> _Sum:
        data = np.frombuffer(b"".join(bodies), np.uint8)
        begin = np.array([*itertools.accumulate(map(len, bodies), initial=0)], np.int64)
        scalars, names, measures, starts, keys, counts = cell_sum.add_up(data, begin)
        longs = [(high << 32) + low for high, low in zip(*scalars.tolist(), strict=True)]
        sums = [((a << 32) + b, (c << 32) + d) for a, b, c, d in measures.tolist()]
        return cls(data, longs, names, sums, starts, keys, counts)


def total(bodies: Sequence[bytes]) -> ArmWindow:
    """What the bodies add up to."""
    if not bodies:
        return EMPTY
    found = _Sum.of(bodies)
    starts = found.starts.tolist()
    parts = [SparseCounts(found.keys[a:b], found.counts[a:b]) for a, b in itertools.pairwise(starts)]
    measures = {
        found.data[place : place + size].tobytes().decode(): MeasureSum(*sums, *parts[3 + 2 * m : 5 + 2 * m])
        for m, ((place, size), sums) in enumerate(zip(found.names.tolist(), found.measures, strict=True))
    }
    return ArmWindow(*found.longs, *parts[:3], dict(sorted(measures.items())))  # pyright: ignore[reportCallIssue]


def merged(bodies: Sequence[bytes]) -> list[bytes]:
    """Fewer bodies with the same sum: one, unless its numbers would not fit."""
    if len(bodies) < 2:
        return list(bodies)
    found = _Sum.of(bodies)
    if max(found.longs, default=0) > LONG_MAX or any(max(sums) > LONG_MAX for sums in found.measures):
        return list(bodies)
    out = np.empty(len(found.data) + cell_sum.LONG_BYTES * (len(found.longs) + 8 * len(found.names) + 5), np.uint8)
    size = cell_sum.body(
        np.array([0, *found.longs]), found.data, found.names, np.array(found.measures, np.int64).reshape(-1, 2),
        found.starts, found.keys, found.counts, out,
    )  # fmt: skip
    return [out[:size].tobytes()]


def warm() -> None:
    """Compile the loops, or load them, before they are needed."""
    labels = ("e", "warm", "up", "1", None, (), 0)
    measure = Measure("duration_us", 0, 0, b"", b"")
    cell = Cell(*labels, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b"", b"", b"", (measure,))
    (found,) = read([encode_delta(Cells("", "", 0, 0, 0, (cell,)))])
    bodies = [one.body for one in cast(PackedCells, found).cells] * 2
    total(bodies)
    merged(bodies)
