"""The analysts' tables as SQL files, for who does not let the sink make them (`clickhouse: {migrate: false}`)."""

from __future__ import annotations

from schemas.config import INTEGER_MEASURES
from streams.sinks import migrations
from streams.sinks.base import DATABASE
from streams.sinks.ddl import creations, views
from streams.sinks.tables import MODERN, OLD, Dialect

HEAD = """-- Written by python -m deploy.ops. Davy's tables and views, schema {number}, for ClickHouse {versions}.
-- May be run again at any time:
--   clickhouse-client --multiquery < {name}
-- Measures that davy.yaml registers become columns of `windows` where the sink makes it; here they are in the map `measures`.
"""
BY_HAND = """
-- Tables of an older Davy also need this, before all else; a server of this age cannot be told to do it only where needed:
"""
FILES: dict[str, tuple[Dialect, str]] = {
    "schema.sql": (MODERN, "22.3 and later"),
    "schema-18.sql": (OLD, "18.16 to 22.2"),
}


def files() -> dict[str, str]:
    """Both dialects' statements."""
    return {f"clickhouse/{name}": _text(name, dialect, versions) for name, (dialect, versions) in FILES.items()}


def _text(name: str, dialect: Dialect, versions: str) -> str:
    upgrades = migrations.upgrades(dialect)
    statements = [
        f"CREATE DATABASE IF NOT EXISTS {DATABASE}", f"USE {DATABASE}", *creations(dialect), migrations.CREATE_NUMBERS,
        *(upgrades if dialect.if_not_exists else ()), *views(dialect, INTEGER_MEASURES),
        migrations.reached(migrations.VERSION),
    ]  # fmt: skip
    by_hand = "" if dialect.if_not_exists else BY_HAND + "".join(f"--   {statement};\n" for statement in upgrades)
    head = HEAD.format(number=migrations.VERSION, versions=versions, name=name)
    return head + "".join(f"\n{statement};\n" for statement in statements) + by_hand
