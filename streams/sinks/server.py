"""A ClickHouse server through its native protocol (clickhouse-driver), from Debian's 18.16 on."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Self, cast
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from clickhouse_driver.errors import Error, ServerException  # pyright: ignore[reportMissingTypeStubs]

from schemas.codec import iso, micros
from schemas.config import Config
from schemas.errors import UserError
from streams.sinks import migrations, rollups
from streams.sinks.base import DATABASE, LIMITS, QueryError, Result, Sink, StoreUnavailable, checked, said
from streams.sinks.columns import Columns, of_rows
from streams.sinks.ddl import STORED, kept_us, removal
from streams.sinks.native import Block, ColumnClient
from streams.sinks.tables import OLD, Dialect, Row, dialect_of

_TIMEOUTS = {"connect_timeout": "5", "send_receive_timeout": "60"}
"""Seconds; the address may carry others, ``?connect_timeout=1``."""
SCHEMES = ("clickhouse", "clickhouses")
logging.getLogger("clickhouse_driver").addHandler(logging.NullHandler())  # for logs, not for terminals


class ServerStore:
    """A connection to a server; `url` is ``clickhouse://user:password@host:9000/database``. Without `may_migrate` its
    tables are somebody else's to make."""

    def __init__(self, url: str, may_migrate: bool = True) -> None:
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES or not parts.hostname:
            raise UserError("clickhouse: url: write clickhouse://user:password@host:9000/database")
        self._place = parts.netloc.rpartition("@")[2]
        self._database = parts.path.strip("/") or DATABASE
        self.place = f"the database {self._database} at {self._place}"
        self.elsewhere = "name another database in clickhouse: url"
        self._url = parts._replace(query=urlencode(_TIMEOUTS | dict(parse_qsl(parts.query))))
        self._lock = threading.Lock()
        self._client = self._connection(self._database)
        self._known_dialect: Dialect | None = None
        self._may_migrate = may_migrate
        self._keep_us: Mapping[str, int] = {}

    def migrate(self, measures: Sequence[str], keep_us: Mapping[str, int] = MappingProxyType({})) -> None:
        """See `Store`."""
        self._keep_us = keep_us
        if not self._may_migrate:
            migrations.required(self, self._dialect())
            return
        database, self._client = self._client, self._connection("")  # the database may not be there yet
        try:
            dialect = self._dialect()
            self.run(f"CREATE DATABASE IF NOT EXISTS `{self._database}`")
        finally:
            self._client.disconnect()
            self._client = database
        migrations.migrate(self, dialect, measures, keep_us)

    def expire(self) -> None:
        """See `Store`."""
        if self._dialect() is not OLD:
            return
        now_us = time.time_ns() // 1000
        for name, keep_us in kept_us(self._keep_us).items():
            counted, removed = removal(OLD, name, now_us - keep_us)
            if self.rows(counted)[0][0]:
                self.run(removed)

    def roll_up(self, begin_us: int, end_us: int) -> None:
        """See `Store`."""
        for statement in rollups.statements(self._dialect(), begin_us, end_us, rollups.gone_us(self._keep_us)):
            self.run(statement)

    def not_rolled_up_us(self) -> int:
        """See `Store`."""
        return rollups.not_rolled_up_us(int(self.rows(rollups.NEWEST)[0][0]))

    def insert(self, table: str, rows: Sequence[Row]) -> None:
        """See `Store`."""
        self.add(table, of_rows(STORED[table], rows))

    def add(self, table: str, columns: Columns) -> None:
        """See `Store`."""
        definition = STORED[table]
        block = Block.of(definition, self._dialect(), columns)
        self._done(lambda client: client.insert(definition.raw, block))

    def run(self, statement: str) -> None:
        """One of our statements. Raises `StoreUnavailable`."""
        self._done(lambda client: client.execute(statement))

    def rows(self, statement: str) -> list[Any]:
        """The answer to a statement of ours. Raises `StoreUnavailable`."""
        return self._done(lambda client: client.execute(statement))

    def query(self, sql: str) -> Result:
        """See `Store`."""
        try:
            with self._lock:
                rows, columns = self._client.execute(checked(sql), with_column_types=True, settings=dict(LIMITS))
        except ServerException as error:
            raise QueryError(said(cast("object", error.message))) from error
        except (Error, OSError, EOFError) as error:
            raise self._unavailable(error) from error
        names, types = tuple(name for name, _ in columns), tuple(kind for _, kind in columns)
        return Result(names, [[_plain(value) for value in row] for row in rows], types)

    def close(self) -> None:
        """See `Store`."""
        self._client.disconnect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connection(self, database: str) -> Any:
        return cast("Any", ColumnClient).from_url(urlunsplit(self._url._replace(path=f"/{database}")))

    def _dialect(self) -> Dialect:
        if self._known_dialect is None:
            self._known_dialect = dialect_of(str(self.rows("SELECT version()")[0][0]))
        return self._known_dialect

    def _done(self, what: Callable[[Any], Any]) -> Any:
        try:
            with self._lock:
                return what(self._client)
        except (Error, OSError, EOFError) as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        text = said(cast("object", getattr(error, "message", None) or error))
        return StoreUnavailable(
            f"ClickHouse at {self._place} does not do its work: {text}; start it, or set clickhouse: url"
        )


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
    return ServerStore(config.clickhouse.url.get_secret_value(), config.clickhouse.migrate)


SINK = Sink(schemes=SCHEMES, open=_open)
