"""Statements that make and change the analysts' tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from streams.sinks.tables import EVENTS, EXPERIMENTS, OLD, ROLLED, TABLES, WINDOWS, Dialect, Table

STORED: Mapping[str, Table] = {**TABLES, **ROLLED}
SPECS = "specs"
"""The view of every spec that was ever in force; `experiments` shows the newest of each."""
VIEWS = (*STORED, SPECS)
FAILED = "ifNull(error, status >= 500)"
"""Of an event, as ingest counts errors."""
WEIGHT = "if(fate = 'quarantined', 0, 1 / sample_rate)"
"""For how many requests an event stands."""


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
        if table is EVENTS:
            select += f", {FAILED} AS failed, {WEIGHT} AS weight"
        if table is EXPERIMENTS:
            statements += _view(dialect, SPECS, f"SELECT {select} FROM {table.raw} FINAL")
            newest = f"ORDER BY experiment_id, {dialect.key(table, 'applied_at')} DESC LIMIT 1 BY experiment_id"
            statements += _view(dialect, table.name, f"SELECT experiment_id AS id, {select} FROM {SPECS} {newest}")
            continue
        statements += _view(dialect, table.name, f"SELECT {select} FROM {table.raw} FINAL")
    return statements


def kept_us(keep_us: Mapping[str, int]) -> dict[str, int]:
    """How long rows are kept, by table: as `keep_us` says, else as the table does."""
    return {table.name: table.keep_us for table in STORED.values() if table.keep_us is not None} | {**keep_us}


def retention(keep_us: Mapping[str, int], engines: Mapping[str, str]) -> Iterator[str]:
    """Statements after which rows older than `keep_us` by table are removed, and those of all other tables kept for ever.
    Nothing where it is so already: a change of TTL reads every part."""
    for name, table in STORED.items():
        engine = engines.get(table.raw, "")
        if name in keep_us:
            if f"toIntervalSecond({_seconds(keep_us[name])})" not in engine:
                yield f"ALTER TABLE {table.raw} MODIFY {_ttl(table, keep_us[name])}"
        elif " TTL " in engine:
            yield f"ALTER TABLE {table.raw} REMOVE TTL"


def removal(dialect: Dialect, name: str, before_us: int) -> tuple[str, str]:
    """For servers that know no TTL: what counts a table's rows from before a time, and what removes them."""
    table = STORED[name]
    older = f"{dialect.key(table, table.age)} < {before_us}"
    return f"SELECT count() FROM {table.raw} WHERE {older}", f"ALTER TABLE {table.raw} DELETE WHERE {older}"


def _ttl(table: Table, keep_us: int) -> str:
    return f"TTL toDateTime({table.age}) + INTERVAL {_seconds(keep_us)} SECOND"


def _seconds(keep_us: int) -> int:
    return max(1, keep_us // 1_000_000)


def _create(table: Table, dialect: Dialect) -> str:
    columns = ", ".join(f"`{column}` {part.declared}" for column, _, part in dialect.parts(table))
    version = table.version or ""
    if version and table.columns[version] == "time" and len(dialect.kinds["time"]) > 1:
        version += "_us"
    key = ", ".join(dialect.key(table, name) for name in table.key)
    month = f" PARTITION BY toYYYYMM({table.month})" if table.month else ""
    ttl = "" if table.keep_us is None or dialect is OLD else f" {_ttl(table, table.keep_us)}"
    nullable = any(table.columns[name].endswith("?") for name in table.key)
    return (
        f"CREATE TABLE IF NOT EXISTS {table.raw} ({columns}) ENGINE = ReplacingMergeTree({version})"
        f"{month} ORDER BY ({key}){ttl}{dialect.nullable_key if nullable else ''}"
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
