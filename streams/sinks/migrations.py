"""The store's schema has a number; numbered steps bring an older store to the present one.

A store keeps its number in `schema_versions`. One without that table, but with tables of ours, is of before there were
numbers: 1. Each step may be run again, so a process that is killed in between leaves nothing half done: its successor finds
the old number. Nothing is changed in a database that a newer Davy has made, or where somebody else's tables have our names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, Self

from schemas.frozen import frozen
from streams.sinks.base import StoreUnavailable
from streams.sinks.ddl import STORED, VIEWS, creations, kept_us, retention, views
from streams.sinks.tables import EVENTS, MODERN, ROLLED, VERDICTS, WINDOWS, Dialect, Table

NUMBERS = "schema_versions"
"""The table of numbers."""
TABLES_THERE = "SELECT name, engine FROM system.tables WHERE database = currentDatabase()"
COLUMNS_THERE = "SELECT table, name FROM system.columns WHERE database = currentDatabase()"
MADE = "SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()"
NUMBER = f"SELECT max(version) FROM {NUMBERS}"
ENGINE = "ReplacingMergeTree"
"""Of every table of ours, perhaps behind a word like Replicated or Shared."""

CREATE_NUMBERS = (
    f"CREATE TABLE IF NOT EXISTS {NUMBERS} (version Int64, applied_at DateTime('UTC')) "
    f"ENGINE = {ENGINE} ORDER BY version"
)


class Database(Protocol):
    """Where statements are run; both methods raise `StoreUnavailable`."""

    place: str
    """What people call it."""
    elsewhere: str
    """What to do to have another."""

    def run(self, statement: str) -> None:
        """Run it."""
        ...

    def rows(self, statement: str) -> Sequence[Sequence[Any]]:
        """Its answer."""
        ...


@frozen()
class Found:
    """What is in a database: engines by table, and columns as (table, name)."""

    engines: Mapping[str, str]
    columns: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, database: Database) -> Self:
        """As it is now."""
        engines = {str(name): str(engine) for name, engine in database.rows(TABLES_THERE)}
        return cls(engines, frozenset((str(table), str(name)) for table, name in database.rows(COLUMNS_THERE)))

    def lacking(self, dialect: Dialect) -> list[str]:
        """Columns of ours that are not there, as ``table.column``."""
        return [
            f"{table.raw}.{column}"
            for table in STORED.values()
            for column, _, _ in dialect.parts(table)
            if (table.raw, column) not in self.columns
        ]

    def foreign(self, dialect: Dialect) -> str | None:
        """What has a name of ours and is not ours; None where there is nothing of the kind."""
        for name in VIEWS:
            if self.engines.get(name, "View") != "View":
                return f"{name} is a {self.engines[name]} table there, where Davy has a view"
        for table in STORED.values():
            engine = self.engines.get(table.raw, ENGINE)
            keys = {column for column, name, _ in dialect.parts(table) if name in table.key}
            if not engine.endswith(ENGINE):
                return f"{table.raw} is a {engine} there, where Davy has a {ENGINE}"
            if table.raw in self.engines and any((table.raw, key) not in self.columns for key in keys):
                return f"{table.raw} has other columns there than Davy's"
        return None


@frozen()
class Migration:
    """The step to `number`. `statements` are those that are still needed."""

    number: int
    what: str
    statements: Callable[[Dialect, Found], Iterator[str]]


def _add(name: str, *tables: Table) -> Callable[[Dialect, Found], Iterator[str]]:
    def statements(dialect: Dialect, found: Found) -> Iterator[str]:
        for table in tables:
            for column, ours, part in dialect.parts(table):
                if ours == name and (table.raw, column) not in found.columns:
                    yield f"ALTER TABLE {table.raw} ADD COLUMN {dialect.if_not_exists}`{column}` {part.declared}"

    return statements


COUNTED = (WINDOWS, *ROLLED.values())
LATER = frozenset({
    ("verdicts", "change"), *((table.name, "duplicates") for table in COUNTED), *(("events", name) for name in EVENTS.columns),
})  # fmt: skip
"""Columns of steps after that of codecs: they have theirs from the beginning."""


def _codecs(dialect: Dialect, found: Found) -> Iterator[str]:
    """New parts are written with them, old ones when they are merged."""
    del found
    for table in STORED.values():
        parts = [(column, part) for column, name, part in dialect.parts(table) if (table.name, name) not in LATER]
        coded = [(column, part) for column, part in parts if part.codec]
        if coded:
            changes = ", ".join(f"MODIFY COLUMN `{column}` {part.declared}" for column, part in coded)
            yield f"ALTER TABLE {table.raw} {changes}"


MIGRATIONS = (
    Migration(1, "the tables before numbers", lambda dialect, found: iter(())),
    Migration(2, "verdicts tell their error budget", _add("budget", VERDICTS)),
    Migration(3, "columns are compressed by what they hold", _codecs),
    Migration(4, "verdicts tell what changed", _add("change", VERDICTS)),
    Migration(5, "reports of experiments that ended", lambda dialect, found: iter(())),
    Migration(6, "windows tell their duplicates", _add("duplicates", *COUNTED)),
    Migration(7, "incidents", lambda dialect, found: iter(())),
    Migration(8, "a sample of the request events", lambda dialect, found: iter(())),
)
"""In order. A table that is new needs none: `creations` makes what is missing, in its present shape."""
VERSION = MIGRATIONS[-1].number


def version(database: Database, found: Found) -> int:
    """The store's number; 0 where there is nothing yet."""
    if NUMBERS in found.engines and (number := int(database.rows(NUMBER)[0][0] or 0)):
        return number
    return int(any(table.raw in found.engines for table in STORED.values()))


def checked(database: Database, dialect: Dialect) -> int:
    """The store's number. Raises `StoreUnavailable` where it must be left alone: it is newer, or not ours."""
    found = Found.of(database)
    foreign = found.foreign(dialect)
    if foreign is not None:
        raise StoreUnavailable(f"{database.place} is in use for something else: {foreign}; {database.elsewhere}")
    number = version(database, found)
    if number > VERSION:
        raise StoreUnavailable(
            f"{database.place} has schema {number}, and this version of Davy knows {VERSION}: run the newer Davy that made it"
        )
    return number


def migrate(database: Database, dialect: Dialect, measures: Sequence[str], keep_us: Mapping[str, int]) -> None:
    """Make what is missing and change what is old; running it again changes nothing. Raises as `checked` does."""
    number = checked(database, dialect)
    for statement in creations(dialect):
        database.run(statement)
    database.run(CREATE_NUMBERS)
    for migration in MIGRATIONS[number:] if number else ():
        for statement in migration.statements(dialect, Found.of(database)):
            database.run(statement)
        database.run(reached(migration.number))
    if not number:
        database.run(reached(VERSION))
    complete(database, dialect)
    for statement in views(dialect, measures):
        database.run(statement)
    if dialect is MODERN:
        made = {str(name): str(engine) for name, engine in database.rows(MADE)}
        for statement in retention(kept_us(keep_us), made):
            database.run(statement)


def complete(database: Database, dialect: Dialect) -> None:
    """Raises `StoreUnavailable` where columns are missing."""
    lacking = Found.of(database).lacking(dialect)
    if lacking:
        raise StoreUnavailable(
            f"{database.place} lacks {', '.join(lacking[:3])}: Davy did not make these tables; {database.elsewhere}"
        )


def required(database: Database, dialect: Dialect) -> None:
    """For who may not migrate. Raises `StoreUnavailable` unless the store has the present number."""
    number = checked(database, dialect)
    if number < VERSION:
        had = f"schema {number}" if number else "no tables"
        raise StoreUnavailable(
            f"{database.place} has {had}, and this version of Davy needs {VERSION}: let an administrator run "
            "deploy/ops/clickhouse/schema.sql there, or set clickhouse: migrate: true"
        )
    complete(database, dialect)


def reached(number: int) -> str:
    """The statement that says so."""
    return f"INSERT INTO {NUMBERS} (version, applied_at) SELECT {number}, now()"


def upgrades(dialect: Dialect) -> list[str]:
    """All steps as statements, for a file: what they do to a store that has them already is nothing where `dialect` can say
    so."""
    nothing = Found({}, frozenset())
    return [statement for migration in MIGRATIONS for statement in migration.statements(dialect, nothing)]
