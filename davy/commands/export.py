"""`davy export`: tables of the analysts' store as Parquet files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pyarrow import parquet  # pyright: ignore[reportMissingTypeStubs]  # has no types

from davy import frame
from schemas.config import Config
from schemas.errors import UserError
from streams.sinks.ddl import STORED

PAGE = 50_000
"""Rows that are asked for, and held, at a time."""


def export(tables: Sequence[str], out: Path, config: Config) -> dict[str, int]:
    """One file per table (none named: all) in the folder `out`; rows by table. Each file is written beside its place first."""
    unknown = [name for name in tables if name not in STORED]
    if unknown:
        raise UserError(f"there is no table {unknown[0]!r}; there are {', '.join(STORED)}")
    out.mkdir(parents=True, exist_ok=True)
    return {name: _table(name, out / f"{name}.parquet", config) for name in dict.fromkeys(tables or STORED)}


def _table(name: str, path: Path, config: Config) -> int:
    fresh = path.with_suffix(".new")
    key = ", ".join(STORED[name].key)
    rows = 0
    writer: Any = None
    try:
        while True:
            page = frame.query(config, f"SELECT * FROM {name} ORDER BY {key} LIMIT {PAGE} OFFSET {rows}")
            writer = writer or parquet.ParquetWriter(fresh, page.schema, compression="zstd")
            writer.write_table(page)
            rows += len(page)
            if len(page) < PAGE:
                break
            if sys.stderr.isatty():
                print(f"\r{name}: {rows:,} rows", end="", file=sys.stderr)
    finally:
        if writer is not None:
            writer.close()
    fresh.replace(path)
    return rows
