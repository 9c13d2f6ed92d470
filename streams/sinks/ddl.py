"""Statements that make and change the analysts' tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from schemas.errors import UserError
from streams.sinks.tables import EXPERIMENTS, OLD, ROLLED, TABLES, WINDOWS, Dialect, Table

STORED: Mapping[str, Table] = {**TABLES, **ROLLED}
SPECS = "specs"
"""The view of every spec that was ever in force; `experiments` shows the newest of each."""
VIEWS = (*STORED, SPECS)


def creations(dialect: Dialect) -> list[str]:
    """Statements that make the tables that are missing."""
    return [_create(table, dialect) for table in STORED.values()]


def views(dialect: Dialect, measures: Sequence[str]) -> list[str]:
    """Statements that make all views anew. `measures` are columns of `windows`."""
    statements: list[str] = []
    for table in STORED.values():
        select = ", ".join(f"`{column}`" for column, _, _ in dialect.parts(table))
        if table is WINDOWS:
            select += _measure_columns(dialect, measures)
        if table is EXPERIMENTS:
            statements += _view(dialect, SPECS, f"SELECT {select} FROM {table.raw} FINAL")
            newest = f"ORDER BY experiment_id, {dialect.key(table, 'applied_at')} DESC LIMIT 1 BY experiment_id"
            statements += _view(dialect, table.name, f"SELECT experiment_id AS id, {select} FROM {SPECS} {newest}")
            continue
        statements += _view(dialect, table.name, f"SELECT {select} FROM {table.raw} FINAL")
    return statements


def retention(dialect: Dialect, keep_us: Mapping[str, int], engines: Mapping[str, str]) -> Iterator[str]:
    """Statements after which rows older than `keep_us` by table are removed, and those of all other tables kept for ever.
    Nothing where it is so already: a change of TTL reads every part. Raises `UserError` where the engine knows no TTL."""
    if keep_us and dialect is OLD:
        raise UserError(
            "retention: this ClickHouse is too old to remove rows by age: upgrade it, or leave retention away"
        )
    for name, table in STORED.items():
        engine = engines.get(table.raw, "")
        if name in keep_us:
            seconds = max(1, keep_us[name] // 1_000_000)
            if f"toIntervalSecond({seconds})" not in engine:
                yield f"ALTER TABLE {table.raw} MODIFY TTL toDateTime({table.age}) + INTERVAL {seconds} SECOND"
        elif " TTL " in engine:
            yield f"ALTER TABLE {table.raw} REMOVE TTL"


def _create(table: Table, dialect: Dialect) -> str:
    columns = ", ".join(f"`{column}` {part.declared}" for column, _, part in dialect.parts(table))
    version = table.version or ""
    if version and table.columns[version] == "time" and len(dialect.kinds["time"]) > 1:
        version += "_us"
    key = ", ".join(dialect.key(table, name) for name in table.key)
    month = f" PARTITION BY toYYYYMM({table.month})" if table.month else ""
    nullable = any(table.columns[name].endswith("?") for name in table.key)
    return (
        f"CREATE TABLE IF NOT EXISTS {table.raw} ({columns}) ENGINE = ReplacingMergeTree({version})"
        f"{month} ORDER BY ({key}){dialect.nullable_key if nullable else ''}"
    )


def _view(dialect: Dialect, name: str, select: str) -> list[str]:
    drop = [f"DROP TABLE IF EXISTS {name}"] if dialect.drop_view else []
    return [*drop, f"CREATE {dialect.replace_view} {name} AS {select}"]


def _measure_columns(dialect: Dialect, measures: Sequence[str]) -> str:
    """A measure whose name is taken stays in the map alone."""
    free = [name for name in dict.fromkeys(measures) if name not in WINDOWS.columns]
    return "".join(f", {dialect.measure.format(name=_literal(name))} AS {_identifier(name)}" for name in free)


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _identifier(text: str) -> str:
    return "`" + text.replace("\\", "\\\\").replace("`", "\\`") + "`"
