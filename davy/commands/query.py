"""`davy query`: sQL on the analysts' store, embedded or server."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from davy.options import ConfigFile, DataDir, Json, load
from davy.store import ask
from schemas.config import Config
from streams.sinks.base import Result

CELL_MAX = 200
"""Longer values are cut in the table for people."""
PIPE_WIDTH = 10_000
"""Columns that a table may take where no terminal limits it."""


def query(sql: str, config: Config, as_json: bool) -> int:
    """Print the answer: a table, or with `as_json` one object per row. Returns the exit code."""
    result = ask(config, sql)
    if as_json:
        for row in result.dicts():
            print(json.dumps(row, allow_nan=False))
    else:
        show(result)
    return 0


def show(result: Result) -> None:
    """A table on stdout."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, name in enumerate(result.columns):
        numbers = any(_is_number(row[index]) for row in result.rows)
        table.add_column(Text(name), justify="right" if numbers else "left", overflow="fold")
    for row in result.rows:
        table.add_row(*(_cell(value, Text) for value in row))
    console = Console() if sys.stdout.isatty() else Console(width=PIPE_WIDTH)
    if result.columns:
        console.print(table)
    rows = len(result.rows)
    print(f"{rows:,} row{'' if rows == 1 else 's'}", file=sys.stderr)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _cell(value: Any, text: Any) -> Any:
    if value is None:
        return text("null", "dim")
    shown = value if isinstance(value, str) else json.dumps(value)
    return text(shown if len(shown) <= CELL_MAX else shown[: CELL_MAX - 1] + "…")


def command(
    sql: Annotated[str, typer.Argument()],
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """\b
    Example: davy query 'select variant, sum(rows) from windows group by variant'

    Exit code: 0; 2 bad SQL, 4 infrastructure.
    """
    raise typer.Exit(query(sql, load(config, data_dir), as_json))
