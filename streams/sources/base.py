"""What every source gives, and how rows become columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NotRequired, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BeforeValidator, ConfigDict, Field, ValidationError
from typing_extensions import TypedDict  # pydantic asks for it below Python 3.12

from schemas import codec
from schemas.errors import UserError
from schemas.event import REQUIRED
from schemas.frozen import frozen
from streams.columns import EVENT_SCHEMA

INT64 = 2**63


@frozen()
class Reject:
    """Rows that could not be used: `place` as people find it (file:line, or file and row), `rows` how
    many."""

    place: str
    reason: str
    rows: int = 1

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


class Source(Protocol):
    """One file format."""

    @property
    def extension(self) -> str:
        """As in a file's name, with its dot."""
        ...

    def read(self, path: Path) -> tuple[pa.Table, list[Reject]]:
        """All usable rows and all rejects; raises `UserError` where the file is not of this format."""
        ...

    def write(self, path: Path, batches: Iterable[pa.RecordBatch]) -> None:
        """A file of RequestEvents."""
        ...


def _time(value: object) -> object:
    return codec.micros(value) if isinstance(value, str) else value


Long = Annotated[int, Field(ge=-INT64, lt=INT64)]


class EventRow(TypedDict):
    """RequestEvent as JSON has it: optional fields may be left out, a time is ISO 8601 or integer
    microseconds."""

    __pydantic_config__ = ConfigDict(strict=True, hide_input_in_errors=True)  # pyright: ignore[reportGeneralTypeIssues]  # pydantic's documented place for it

    timestamp: Annotated[Long, BeforeValidator(_time)]
    service: str
    environment: str
    version: str
    experiment_id: NotRequired[str | None]
    variant: NotRequired[str | None]
    segment: NotRequired[str | None]
    unit_id: NotRequired[str | None]
    instance: NotRequired[str | None]
    endpoint: NotRequired[str | None]
    status: Annotated[int, Field(ge=-(2**31), lt=2**31)]
    error: NotRequired[bool | None]
    duration_us: Long
    cpu_us: NotRequired[Long | None]
    memory_bytes: NotRequired[Long | None]
    measures: NotRequired[dict[str, float] | None]
    sample_rate: NotRequired[float]


def complaint(error: ValidationError) -> str:
    """The first thing that is wrong with a row."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg'].lower()}" if place else first["msg"]


def columns(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows as columns; what a row leaves out is null. Raises Arrow's errors where a value is of another
    kind."""
    arrays: list[pa.Array] = []
    for field in EVENT_SCHEMA:
        values: list[Any] = [row.get(field.name) for row in rows]
        if pa.types.is_map(field.type):
            values = [None if value is None else list(value.items()) for value in values]
        arrays.append(pa.array(values, field.type))
    return pa.table(arrays, schema=EVENT_SCHEMA)


def conform(path: Path, found: pa.Table, first_row: int, rejects: list[Reject]) -> pa.Table:
    """Columns of a file as ours, matched by name; `first_row` is the number of the first row, for places.

    Rows without a required value are added to `rejects` and left out. Raises `UserError` where a required
    column is not there, or one cannot be cast.
    """
    missing = [name for name in REQUIRED if name not in found.column_names]
    if missing:
        raise UserError(f"{path}: it has no column {', '.join(missing)}")
    cast = [_cast(path, found, field) for field in EVENT_SCHEMA]
    unusable = np.zeros(found.num_rows, np.bool_)
    for i, column in enumerate(cast):
        field = EVENT_SCHEMA.field(i)
        if not field.nullable and column.null_count:
            empty = column.is_null().to_numpy() & ~unusable
            rejects += [
                Reject(f"{path} row {first_row + row}", f"{field.name}: no value") for row in np.flatnonzero(empty)
            ]
            unusable |= empty
    usable = pa.table(cast, schema=EVENT_SCHEMA)
    return usable.filter(pa.array(~unusable)) if unusable.any() else usable


def _cast(path: Path, found: pa.Table, field: pa.Field) -> pa.ChunkedArray:
    """The file's column in our type; nulls (for the sample rate 1) where it has none."""
    if field.name in found.column_names:
        column = found.column(field.name)
    else:
        column = pa.chunked_array([pa.nulls(found.num_rows, field.type)])
    try:
        column = _times(column) if field.name == "timestamp" else column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise UserError(f"{path}: column {field.name} is {column.type}, not {field.type}: {error}") from error
    return column.fill_null(1.0) if field.name == "sample_rate" else column


def _times(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Integers are microseconds; times with a zone are told by their instant, without one are UTC; text is
    ISO 8601."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        column = pc.cast(column, pa.timestamp("us", "UTC"))
    elif pa.types.is_timestamp(kind) and kind.unit != "us":
        column = pc.cast(column, pa.timestamp("us", kind.tz), safe=False)  # nanoseconds are cut off
    return column.cast(pa.int64()).cast(pa.timestamp("us"))
