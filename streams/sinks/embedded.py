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
from streams.sinks import rollups
from streams.sinks.base import DATABASE, LIMITS, QueryError, Result, Sink, StoreUnavailable, checked, said
from streams.sinks.ddl import ENGINES, STORED, ddl, retention
from streams.sinks.tables import MODERN, Kind, Row

pa: Any = pyarrow
FOLDER = "clickhouse"
_QUERY_FORMAT = "JSONCompactEachRowWithNamesAndTypes"
_OUTPUT = {"date_time_output_format": "'iso'", "output_format_json_quote_64bit_integers": 0}
_ARROW: Mapping[Kind, Any] = {
    "text": pa.string(), "text?": pa.string(), "label": pa.string(), "label?": pa.string(),
    "int": pa.int64(), "int?": pa.int64(), "float": pa.float64(), "float?": pa.float64(),
    "bool": pa.bool_(), "time": pa.timestamp("us", "UTC"), "texts": pa.list_(pa.string()),
    "words": pa.map_(pa.string(), pa.string()), "ints": pa.map_(pa.string(), pa.int64()),
    "floats": pa.map_(pa.string(), pa.float64()),
}  # fmt: skip


class Locked(StoreUnavailable):
    """Another process has the folder."""


class EmbeddedStore:
    """An open folder. Raises `Locked` when another process has it."""

    def __init__(self, folder: Path) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(folder.with_suffix(".lock"))
        self._keep_us: Mapping[str, int] = {}
        from chdb.session import Session  # pyright: ignore[reportMissingTypeStubs]  # loads the engine: a second

        self._open_session: Any = lambda: Session(str(folder))
        try:
            self._session = self._open_session()
            self._run(f"CREATE DATABASE IF NOT EXISTS {DATABASE} ENGINE = Atomic")
            self._run(f"USE {DATABASE}")
        except (RuntimeError, StoreUnavailable) as error:
            self._lock.close()
            raise StoreUnavailable(f"the embedded store in {folder} cannot be opened: {said(error)}") from error

    def migrate(self, measures: Sequence[str], keep_us: Mapping[str, int] = MappingProxyType({})) -> None:
        """See `Store`."""
        for statement in ddl(MODERN, measures):
            self._run(statement)
        engines = dict(self._ask(ENGINES))
        for statement in retention(MODERN, keep_us, engines):
            self._run(statement)
        self._keep_us = keep_us

    def roll_up(self, begin_us: int, end_us: int) -> None:
        """See `Store`."""
        for statement in rollups.statements(MODERN, begin_us, end_us, rollups.gone_us(self._keep_us)):
            self._run(statement)

    def not_rolled_up_us(self) -> int:
        """See `Store`."""
        return rollups.not_rolled_up_us(self._ask(rollups.NEWEST)[0][0])

    def insert(self, table: str, rows: Sequence[Row]) -> None:
        """See `Store`."""
        definition = STORED[table]
        schema = pa.schema([(name, _ARROW[kind]) for name, kind in definition.columns.items()])
        buffer = pa.BufferOutputStream()
        with pa.ipc.new_stream(buffer, schema) as stream:
            stream.write_table(pa.Table.from_pylist(list(rows), schema))
        columns = ", ".join(f"`{name}`" for name in definition.columns)
        try:
            with self._session.send_insert(f"INSERT INTO {definition.raw} ({columns})", "ArrowStream") as inserter:
                inserter.append(buffer.getvalue().to_pybytes())
                inserter.finish()
        except RuntimeError as error:
            raise StoreUnavailable(f"the embedded store refuses rows of {table}: {said(error)}") from error

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

    def _ask(self, sql: str) -> list[Any]:
        """Rows of a statement of ours."""
        try:
            return self.query(sql).rows
        except QueryError as error:
            raise StoreUnavailable(f"the embedded store refuses a statement: {error}") from error

    def _run(self, statement: str) -> None:
        try:
            self._session.query(statement)
        except RuntimeError as error:
            raise StoreUnavailable(f"the embedded store refuses a statement: {said(error)}") from error


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
