"""Rows of the analysts' tables as Arrow columns: from records and from rows.

Windows are by far the most, so they are decoded by the thousand, without an object for each; what that does not
read, as well as all other records, is read one by one (`streams.sinks.rows`), which also says what is wrong with it.
"""

from __future__ import annotations

import json
import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pyarrow  # pyright: ignore[reportMissingTypeStubs]  # has no types
import pyruhvro

from schemas import codec
from streams.sinks.rows import READERS
from streams.sinks.tables import TABLES, WINDOWS, Kind, Row, Table

pa: Any = pyarrow
Columns = Any
"""A `pyarrow.Table` with the columns of one of our tables, in their order."""
Unreadable = tuple[int, str]
"""Which value it is, and what is wrong with it."""
_ARROW: Mapping[Kind, Any] = {
    "text": pa.string(), "text?": pa.string(), "label": pa.string(), "label?": pa.string(),
    "int": pa.int64(), "int?": pa.int64(), "float": pa.float64(), "float?": pa.float64(),
    "bool": pa.bool_(), "bool?": pa.bool_(),
    "time": pa.timestamp("us", "UTC"), "time?": pa.timestamp("us", "UTC"), "texts": pa.list_(pa.string()),
    "words": pa.map_(pa.string(), pa.string()), "ints": pa.map_(pa.string(), pa.int64()),
    "floats": pa.map_(pa.string(), pa.float64()),
}  # fmt: skip
_SEAL = "end_of_record"


def schema_of(table: Table) -> Any:
    """The Arrow schema of a table's columns."""
    return pa.schema([(name, _ARROW[kind]) for name, kind in table.columns.items()])


def of_rows(table: Table, rows: Sequence[Row]) -> Columns:
    """The rows as columns."""
    return pa.Table.from_pylist(list(rows), schema_of(table))


def joined(first: Columns | None, second: Columns) -> Columns:
    """Rows of one table after others."""
    return second if first is None else pa.concat_tables([first, second])


def span_us(columns: Columns, name: str) -> tuple[int, int]:
    """First and last time of a column that has any."""
    values = columns.column(name).cast(pa.int64()).to_numpy()
    return int(values.min()), int(values.max())


def read(topic: str, values: Sequence[bytes]) -> tuple[dict[str, Columns], list[Unreadable]]:
    """What became of a topic's records, by table, and which of them could not be read. `topic` has no prefix."""
    if topic == "windows" and (windows := _windows(values)) is not None:
        return {WINDOWS.name: windows}, []
    rows: defaultdict[str, list[Row]] = defaultdict(list)
    unreadable: list[Unreadable] = []
    for index, value in enumerate(values):
        try:
            found = READERS[topic](value)
        except (codec.Malformed, codec.UnknownSchema) as error:
            unreadable.append((index, str(error)))
            continue
        for name, some in found.items():
            rows[name] += some
    return {name: of_rows(TABLES[name], some) for name, some in rows.items()}, unreadable


@cache
def _sealed_schema() -> tuple[str, int, bytes]:
    """The schema of a window with one more number behind it, a number of this process alone, and how that is written.

    The decoder does not mind bytes behind a record; so every record gets the number as its last field, and where it is not
    read back the record was longer or shorter than its schema says."""
    seal = secrets.randbits(61)
    schema = codec.document("WindowSummary")
    schema["fields"].append({"name": _SEAL, "type": "long"})
    return json.dumps(schema), seal, codec.long(seal)


def _windows(values: Sequence[bytes]) -> Columns | None:
    """Windows of the present schema; None where there is any other value among them."""
    header = codec.header("WindowSummary")
    schema, seal, written = _sealed_schema()
    if not all(value.startswith(header) for value in values):
        return None
    try:
        batch: Any = pyruhvro.deserialize_array([value[codec.HEADER_BYTES :] + written for value in values], schema)
    except ValueError:
        return None
    if not (np.asarray(batch.column(_SEAL)) == seal).all():
        return None
    return pa.Table.from_batches([batch]).drop_columns([_SEAL]).cast(schema_of(WINDOWS))
