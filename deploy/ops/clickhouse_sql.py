"""The analysts' tables as SQL files, for who does not let the sink make them (`clickhouse: {migrate: false}`)."""

from __future__ import annotations

from schemas.config import INTEGER_MEASURES
from streams.sinks.base import DATABASE
from streams.sinks.ddl import ddl
from streams.sinks.tables import MODERN, OLD, Dialect

HEAD = """-- Written by python -m deploy.ops. Davy's tables and views, for ClickHouse {versions}; may be run again at any time:
--   clickhouse-client --multiquery < {name}
-- Measures that davy.yaml registers become columns of `windows` where the sink makes it; here they are in the map `measures`.
"""
FILES: dict[str, tuple[Dialect, str]] = {
    "schema.sql": (MODERN, "22.3 and later"),
    "schema-18.sql": (OLD, "18.16 to 22.2"),
}


def files() -> dict[str, str]:
    """Both dialects' statements."""
    return {f"clickhouse/{name}": _text(name, dialect, versions) for name, (dialect, versions) in FILES.items()}


def _text(name: str, dialect: Dialect, versions: str) -> str:
    statements = [f"CREATE DATABASE IF NOT EXISTS {DATABASE}", f"USE {DATABASE}", *ddl(dialect, INTEGER_MEASURES)]
    return HEAD.format(versions=versions, name=name) + "".join(f"\n{statement};\n" for statement in statements)
