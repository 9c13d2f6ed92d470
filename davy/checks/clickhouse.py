"""Whether the analysts' store answers, has its tables, and has room."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from davy.checks.base import Check, Finding, ok, problem, warning
from davy.store import STORE_FOLDER, ask
from schemas.config import Config
from schemas.errors import InfrastructureError
from streams.sinks.migrations import NUMBER, NUMBERS, VERSION
from streams.sinks.tables import TABLES

MIGRATES = "start this version's `davy run sink`, which migrates, or run deploy/ops/clickhouse/schema.sql there"
FREE_SHARE_MIN = 0.05
"""Of the disk with the data folder."""


def look(config: Config) -> Iterator[Finding]:
    """An answer, the tables, their columns, and room on the disk."""
    yield from _room(config)
    if config.clickhouse is None and not (config.data_dir / STORE_FOLDER).is_dir():
        yield ok(f"no store in {config.data_dir} yet: the sink role makes it")
        return
    try:
        ((version,),) = ask(config, "SELECT version()").rows
    except InfrastructureError as error:
        yield problem(str(error), "until it is back the sink keeps what it reads, and verdicts go on")
        return
    place = "the embedded engine" if config.clickhouse is None else "the server"
    there = {row[0] for row in ask(config, "SELECT name FROM system.tables WHERE database = currentDatabase()").rows}
    missing = [name for name in TABLES if name not in there or f"{name}_raw" not in there]
    if missing:
        yield problem(f"{place} has no {', '.join(missing)}", MIGRATES)
        return
    number = int(ask(config, NUMBER).rows[0][0] or 1) if NUMBERS in there else 1
    if number > VERSION:
        yield problem(
            f"{place} has schema {number}, made by a newer Davy; this one knows {VERSION}",
            "run the newer version everywhere: the sink of this one keeps its rows on its disk",
        )
        return
    if number < VERSION:
        yield problem(f"{place} has schema {number}; this Davy has {VERSION}", MIGRATES)
        return
    columns = "SELECT table, name FROM system.columns WHERE database = currentDatabase()"
    known = {(table, name) for table, name in ask(config, columns).rows}
    lacking = [f"{t.name}.{name}" for t in TABLES.values() for name in t.columns if not _has(known, t.name, name)]
    if lacking:
        yield problem(
            f"{place} has tables that Davy did not make, without {', '.join(lacking[:5])}",
            "name another database in clickhouse: url, or move these tables away",
        )
        return
    yield ok(f"{place} answers (ClickHouse {version}) and has all its tables, schema {number}")


def _has(known: set[tuple[str, str]], table: str, column: str) -> bool:
    """A map is two columns on old servers."""
    return (table, column) in known or (table, f"{column}.key") in known


def _room(config: Config) -> Iterator[Finding]:
    place = next(
        folder for folder in (config.data_dir.absolute(), *config.data_dir.absolute().parents) if folder.is_dir()
    )
    usage = shutil.disk_usage(place)
    if usage.free < FREE_SHARE_MIN * usage.total:
        yield warning(
            f"the disk with {config.data_dir} has {usage.free / 2**30:.1f} GiB left, less than {FREE_SHARE_MIN:.0%}",
            "make room, or move it with data_dir in davy.yaml",
        )


CHECK = Check("clickhouse", look)
