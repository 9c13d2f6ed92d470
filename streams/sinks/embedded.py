"""The embedded ClickHouse engine (chdb): the analysts' store in a folder of ours, in this process.

One process at a time has the folder. A lock file beside it says so before the engine does, which would
print its own complaint; the operating system lets go of the lock when the process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Self

import pyarrow  # pyright: ignore[reportMissingTypeStubs]  # has no types

from schemas.config import Config
from streams.sinks import migrations, rollups
from streams.sinks.base import DATABASE, LIMITS, QueryError, Result, Sink, StoreUnavailable, checked, said
from streams.sinks.columns import Columns, of_rows
from streams.sinks.ddl import STORED
from streams.sinks.tables import MODERN, Row

pa: Any = pyarrow
FOLDER = "clickhouse"
SETTINGS = Path(__file__).with_suffix(".xml")
"""The engine's. Where none are named it would read a `config.xml` that happens to lie in the working directory."""
_QUERY_FORMAT = "JSONCompactEachRowWithNamesAndTypes"
_OUTPUT = {"date_time_output_format": "'iso'", "output_format_json_quote_64bit_integers": 0}


class Locked(StoreUnavailable):
    """Another process has the folder."""


class EmbeddedStore:
    """An open folder. Raises `Locked` when another process has it."""

    def __init__(self, folder: Path) -> None:
        self.place = f"the embedded store in {folder}"
        self.elsewhere = "name another folder with data_dir, or move this one away"
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(folder.with_suffix(".lock"))
        self._keep_us: Mapping[str, int] = {}
        from chdb.session import Session  # pyright: ignore[reportMissingTypeStubs]  # loads the engine: a second

        self._open_session: Any = lambda: Session(f"{folder}?config-file={SETTINGS}")
        try:
            self._session = self._open_session()
            self.run(f"CREATE DATABASE IF NOT EXISTS {DATABASE} ENGINE = Atomic")
            self.run(f"USE {DATABASE}")
        except (RuntimeError, StoreUnavailable) as error:
            self._lock.close()
            raise StoreUnavailable(f"{self.place} cannot be opened: {said(error)}") from error

    def migrate(self, measures: Sequence[str], keep_us: Mapping[str, int] = MappingProxyType({})) -> None:
        """See `Store`."""
        migrations.migrate(self, MODERN, measures, keep_us)
        self._keep_us = keep_us

    def expire(self) -> None:
        """See `Store`."""

    def roll_up(self, begin_us: int, end_us: int) -> None:
        """See `Store`."""
        for statement in rollups.statements(MODERN, begin_us, end_us, rollups.gone_us(self._keep_us)):
            self.run(statement)

    def not_rolled_up_us(self) -> int:
        """See `Store`."""
        return rollups.not_rolled_up_us(self.rows(rollups.NEWEST)[0][0])

    def insert(self, table: str, rows: Sequence[Row]) -> None:
        """See `Store`."""
        self.add(table, of_rows(STORED[table], rows))

    def add(self, table: str, columns: Columns) -> None:
        """See `Store`."""
        definition = STORED[table]
        buffer = pa.BufferOutputStream()
        with pa.ipc.new_stream(buffer, columns.schema) as stream:
            stream.write_table(columns)
        names = ", ".join(f"`{name}`" for name in definition.columns)
        try:
            with self._session.send_insert(f"INSERT INTO {definition.raw} ({names})", "ArrowStream") as inserter:
                inserter.append(buffer.getvalue().to_pybytes())
                inserter.finish()
        except RuntimeError as error:
            raise StoreUnavailable(f"{self.place} refuses rows of {table}: {said(error)}") from error

    def query(self, sql: str) -> Result:
        """See `Store`."""
        return parse(self.answer(sql))

    def answer(self, sql: str) -> bytes:
        """The answer as lines of JSON: names, types, then rows; `parse` reads them. Raises `QueryError`."""
        statement = checked(sql)
        session = self._open_session()  # of its own: settings stick to a session, and so may half an answer
        try:
            session.query(f"USE {DATABASE}")
            for name, value in {**_OUTPUT, **LIMITS}.items():
                literal = f"'{value}'" if name in LIMITS and isinstance(value, str) else value
                session.query(f"SET {name} = {literal}")
            return session.query(statement, _QUERY_FORMAT).bytes()
        except RuntimeError as error:
            raise QueryError(said(error)) from error
        finally:
            session.close()

    def close(self) -> None:
        """See `Store`."""
        self._session.close()
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def rows(self, statement: str) -> list[Any]:
        """The answer to a statement of ours. Raises `StoreUnavailable`."""
        try:
            return self.query(statement).rows
        except QueryError as error:
            raise StoreUnavailable(f"{self.place} refuses a statement: {error}") from error

    def run(self, statement: str) -> None:
        """One of our statements. Raises `StoreUnavailable`."""
        try:
            self._session.query(statement)
        except RuntimeError as error:
            raise StoreUnavailable(f"{self.place} refuses a statement: {said(error)}") from error


def folder_of(config: Config) -> Path:
    """Where the embedded store lives."""
    return config.data_dir / FOLDER


def parse(answer: bytes) -> Result:
    """What `EmbeddedStore.answer` wrote."""
    lines = answer.split(b"\n")
    if not lines[0]:
        return Result((), [])
    return Result(
        tuple(json.loads(lines[0])), [json.loads(line) for line in lines[2:] if line], tuple(json.loads(lines[1]))
    )


def _locked(path: Path) -> IO[bytes]:
    lock = path.open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise Locked(
            f"another process has the store in {path.with_suffix('')}: end it, or ask it with `davy query`"
        ) from None
    return lock


def _open(config: Config) -> EmbeddedStore:
    return EmbeddedStore(folder_of(config))


SINK = Sink(schemes=(None,), open=_open)
