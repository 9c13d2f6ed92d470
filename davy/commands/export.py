"""`davy export`: write tables of the analysts' store as Parquet files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from pyarrow import parquet  # pyright: ignore[reportMissingTypeStubs]  # has no types

from davy import frame
from davy.options import ConfigFile, DataDir, Json, load
from davy.progress import progress
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
    (total,) = frame.query(config, f"SELECT count() AS total FROM {name}").column("total").to_pylist()
    try:
        with progress(name, total) as done:
            while True:
                page = frame.query(config, f"SELECT * FROM {name} ORDER BY {key} LIMIT {PAGE} OFFSET {rows}")
                writer = writer or parquet.ParquetWriter(fresh, page.schema, compression="zstd")
                writer.write_table(page)
                rows += len(page)
                done(rows)
                if len(page) < PAGE:
                    break
    finally:
        if writer is not None:
            writer.close()
    fresh.replace(path)
    return rows


def command(
    tables: Annotated[list[str] | None, typer.Argument(metavar="TABLE", help="None: all.")] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the files go, one per table.")] = Path("."),
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """\b
    Example: davy export windows verdicts --out history

    Exit code: 0; 2 there is no such table, 4 infrastructure.
    """
    for table, rows in export(tables or [], out, load(config, data_dir)).items():
        file = f"{out / table}.parquet"
        print(json.dumps({"table": table, "rows": rows, "file": file}) if as_json else f"{file}: {rows:,} rows")
