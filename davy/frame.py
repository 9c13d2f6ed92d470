"""Answers of the analysts' store as Arrow tables, in one call; `.to_pandas()`, or `polars.from_arrow`, make frames.

from davy.frame import arrow
arrow("SELECT start, variant, rows, errors FROM windows", data_dir=".davy").to_pandas()
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow  # pyright: ignore[reportMissingTypeStubs]  # has no types

from davy.store import ask
from schemas.codec import micros
from schemas.config import Config, load_config
from streams.sinks.base import Result

pa: Any = pyarrow
_WRAPPED = re.compile(r"(?:Nullable|LowCardinality)\((.*)\)")
_NESTED = re.compile(r"Array\((.*)\)|Map\(([^,]*(?:\([^)]*\))?), (.*)\)")


def arrow(sql: str, config: Path | str | None = None, data_dir: Path | str | None = None) -> Any:
    """A `pyarrow.Table` of the answer to one read-only statement: times are timestamps in UTC microseconds.

    The store is that of the configuration (default: ./davy.yaml where there is one) or of a data folder. Raises what
    `davy.store.ask` raises.
    """
    loaded = load_config(Path(config) if config is not None else None)
    return table(ask(loaded.with_data_dir(Path(data_dir) if data_dir is not None else None), sql))


def query(config: Config, sql: str) -> Any:
    """The same for a configuration that is loaded already."""
    return table(ask(config, sql))


def table(result: Result) -> Any:
    """A result's rows as columns of the types that ClickHouse said."""
    if not result.columns:
        return pa.table({})
    columns: list[Any] = []
    for i, kind in enumerate(result.types):
        values = [row[i] for row in result.rows]
        target = arrow_type(kind)
        if pa.types.is_timestamp(target):
            values = [None if value is None else micros(value) for value in values]
            columns.append(pa.array(values, pa.int64()).cast(target))
        elif pa.types.is_map(target):
            columns.append(pa.array([list(value.items()) for value in values], target))
        else:
            columns.append(pa.array(values, target))
    return pa.Table.from_arrays(columns, names=list(result.columns))


def arrow_type(kind: str) -> Any:
    """Of a type as ClickHouse writes it; what JSON has no form for stays text.

    >>> str(arrow_type("LowCardinality(Nullable(String))")), str(arrow_type("Map(LowCardinality(String), Float64)"))
    ('string', 'map<string, double>')
    """
    while (inner := _WRAPPED.fullmatch(kind)) is not None:
        kind = inner[1]
    nested = _NESTED.fullmatch(kind)
    if nested is not None:
        return pa.list_(arrow_type(nested[1])) if nested[1] else pa.map_(arrow_type(nested[2]), arrow_type(nested[3]))
    if kind.startswith("DateTime"):
        return pa.timestamp("us", "UTC")
    if kind.startswith("UInt"):
        return pa.uint64()
    if kind.startswith("Int"):
        return pa.int64()
    if kind.startswith(("Float", "Decimal")):
        return pa.float64()
    return pa.bool_() if kind == "Bool" else pa.string()
