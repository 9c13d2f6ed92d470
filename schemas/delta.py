"""Delta: mergeable partial aggregates of log ranges, the only thing that ingest tells the judge.

A range is a block of a source partition up to an offset; a cell is what its rows say about one key and window
(docs: DATAFLOW, sections 1 to 3). All values are integers, so the content of a cell is a pure function of its range.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, cast

from schemas import codec
from schemas.frozen import frozen
from schemas.record import Record, plain

SAMPLE_RATE_ONE = 1 << 20
"""Weight of a row with sample_rate 1: weights are fixed-point with 20 fractional bits."""
UNIT_BUCKETS = 128
QUARTERS = 512
"""A joint key is ``unit bucket * QUARTERS + quarter octave``."""
ROW_SAMPLE = 64
"""One row in that many is kept, by its hash, to estimate duplicates."""
AFFECTED_MAX = 64
"""Units with errors kept in a cell: those with the smallest hashes."""

OTHER = "__other__"
"""Label of what is told together: of rows whose own labels got no cell."""

CellKey = tuple[str | None, str, str, str, str | None, tuple[str | None, ...], int]


@frozen()
class Measure(Record):
    """One measure over the rows of a cell that carry it; `total` is exact, in the measure's resolution."""

    name: str
    rows: int
    total: int
    histogram: bytes
    joint: bytes


@frozen()
class Cell(Record):
    """What the rows of one range say about one key and window; `window` is its start in UTC microseconds."""

    experiment_id: str | None
    service: str
    environment: str
    version: str
    variant: str | None
    dimensions: tuple[str | None, ...]
    window: int
    seen: int
    rows: int
    errors: int
    late: int
    quarantined: int
    with_unit: int
    weight: int
    error_weight: int
    weight_min: int
    weight_max: int
    lag_us: int
    error_buckets: bytes
    affected: bytes
    row_sample: bytes
    measures: tuple[Measure, ...]

    @property
    def key(self) -> CellKey:
        """What makes it this cell within its block."""
        return (
            self.experiment_id, self.service, self.environment, self.version, self.variant, self.dimensions, self.window,
        )  # fmt: skip

    @classmethod
    def from_avro(cls, data: Mapping[str, Any]) -> Self:
        measures = tuple(Measure(**item) for item in data["measures"])
        values: dict[str, Any] = {**data, "dimensions": tuple(data["dimensions"]), "measures": measures}
        return cls(**values)


@frozen()
class Cells(Record):
    """Cells of one key in one block that changed since they were last sent."""

    digest: str
    topic_id: str
    partition: int
    block: int
    upto: int
    cells: tuple[Cell, ...]

    @classmethod
    def from_avro(cls, data: Mapping[str, Any]) -> Self:
        values: dict[str, Any] = {**data, "cells": tuple(Cell.from_avro(item) for item in data["cells"])}
        return cls(**values)


@frozen()
class Progress(Record):
    """How far a block was read. `rows_d` is the sum of `seen` over the block's cells in this delta partition."""

    digest: str
    topic_id: str
    partition: int
    block: int
    upto: int
    rows_d: int
    read: int
    dead: int
    empty_from: int
    n_partitions: int
    high_watermark: int
    max_event_time: int | None
    wall_time: int


@frozen()
class ControlCopy(Record):
    """A record of the control topic, copied into this log so that its order with the data is part of the log.

    Copies form a chain: each names the control offset of the one before it, so that a lost one is noticed.
    """

    control_offset: int
    payload: bytes
    previous: int = -1


@frozen()
class Truncated(Record):
    """Offsets [start, end) that retention removed before they could be read again."""

    digest: str
    topic_id: str
    partition: int
    start: int
    end: int


@frozen()
class Claim(Record):
    """A judge takes this partition over: its epoch is `base` plus the offset of this record, so no two have the same."""

    member: str
    base: int


Delta = Cells | Progress | ControlCopy | Truncated | Claim
_BODIES: dict[str, type[Delta]] = {
    f"davy.v1.{kind.__name__}": kind for kind in (Cells, Progress, ControlCopy, Truncated, Claim)
}


def encode_delta(delta: Delta) -> bytes:
    """Single-object encoding of a delta."""
    return codec.encode("Delta", {"body": (f"davy.v1.{type(delta).__name__}", plain(delta))})


def cells_head(digest: str, topic_id: str, partition: int, block: int, upto: int) -> bytes:
    """How every encoded `Cells` of this range begins; see `join_cells`."""
    return encode_delta(Cells(digest, topic_id, partition, block, upto, ()))[:-1]  # an empty array is its end alone


def join_cells(head: bytes, count: int, bodies: bytes) -> bytes:
    """Single-object encoding of a `Cells` whose `count` cells, at least one, are Avro bytes already, end to end."""
    return b"".join((head, codec.long(count), bodies, b"\0"))


def decode_delta(data: bytes) -> Delta:
    """A delta from its bytes; raises `codec.Malformed` or `codec.UnknownSchema`."""
    name, body = cast("tuple[str, dict[str, Any]]", codec.decode_as("Delta", data)["body"])
    return _BODIES[name].from_avro(body)
