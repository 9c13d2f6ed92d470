"""A ClickHouse server through its native protocol (clickhouse-driver), from Debian's 18.16 on."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Self, cast
from urllib.parse import urlsplit, urlunsplit

from clickhouse_driver import Client  # pyright: ignore[reportMissingTypeStubs]
from clickhouse_driver.errors import Error, ServerException  # pyright: ignore[reportMissingTypeStubs]

from schemas.codec import iso, micros
from schemas.config import Config
from schemas.errors import UserError
from streams.sinks.base import DATABASE, LIMITS, QueryError, Result, Sink, StoreUnavailable, checked, said
from streams.sinks.tables import TABLES, Row, ddl, dialect_of

CONNECT_TIMEOUT_S = 5
ANSWER_TIMEOUT_S = 60
SCHEMES = ("clickhouse", "clickhouses")


class ServerStore:
    """A connection to a server; `url` is ``clickhouse://user:password@host:9000/database``."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES or not parts.hostname:
            raise UserError("clickhouse: url: write clickhouse://user:password@host:9000/database")
        self._place = parts.netloc.rpartition("@")[2]
        self._database = parts.path.strip("/") or DATABASE
        self._client: Any = Client.from_url(urlunsplit(parts._replace(path="/")))
        connection = self._client.connection
        connection.connect_timeout, connection.send_receive_timeout = CONNECT_TIMEOUT_S, ANSWER_TIMEOUT_S
        self._lock = threading.Lock()
        version = str(self._run("SELECT version()")[0][0])
        self._dialect = dialect_of(version)
        self._run(f"CREATE DATABASE IF NOT EXISTS `{self._database}`")
        self._run(f"USE `{self._database}`")

    def migrate(self, measures: Sequence[str]) -> None:
        """See `Store`."""
        for statement in ddl(self._dialect, measures):
            self._run(statement)

    def insert(self, table: str, rows: Sequence[Row]) -> None:
        """See `Store`."""
        definition = TABLES[table]
        parts = list(self._dialect.parts(definition))
        columns = ", ".join(f"`{column}`" for column, _, _ in parts)
        data = [[part.value(row[name]) for row in rows] for _, name, part in parts]
        self._run(f"INSERT INTO {definition.raw} ({columns}) VALUES", data, columnar=True)

    def query(self, sql: str) -> Result:
        """See `Store`."""
        try:
            with self._lock:
                rows, columns = self._client.execute(checked(sql), with_column_types=True, settings=dict(LIMITS))
        except ServerException as error:
            raise QueryError(said(error.message)) from error
        except (Error, OSError, EOFError) as error:
            raise self._unavailable(error) from error
        return Result(tuple(name for name, _ in columns), [[_plain(value) for value in row] for row in rows])

    def close(self) -> None:
        """See `Store`."""
        self._client.disconnect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, statement: str, data: list[list[Any]] | None = None, **options: Any) -> Any:
        try:
            with self._lock:
                return self._client.execute(statement, data, **options)
        except (Error, OSError, EOFError) as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        text = said(getattr(error, "message", None) or error)
        return StoreUnavailable(f"ClickHouse at {self._place} does not do its work: {text}; start it, or set clickhouse: url")


def _plain(value: object) -> Any:
    """As JSON writes it."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case datetime():
            moment = value if value.tzinfo else value.replace(tzinfo=UTC)
            return iso(micros(moment.isoformat()))
        case None | bool() | int() | str():
            return value
        case date():
            return value.isoformat()
        case Decimal():
            return float(value)
        case bytes():
            return value.decode("utf-8", "replace")
        case list() | tuple():
            return [_plain(item) for item in cast("Sequence[object]", value)]
        case Mapping():
            return {str(key): _plain(item) for key, item in cast("Mapping[object, object]", value).items()}
        case _:
            return str(value)


def _open(config: Config) -> ServerStore:
    if config.clickhouse is None:
        raise UserError("clickhouse: url: is not set")
    return ServerStore(config.clickhouse.url.get_secret_value())


SINK = Sink(schemes=SCHEMES, open=_open)
