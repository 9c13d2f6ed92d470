"""How a command asks the analysts' store: the server if one is configured, else the sink's process while it
runs, else the folder itself.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from schemas.codec import micros
from schemas.config import Config
from schemas.errors import InfrastructureError
from streams.sinks.base import QUERY_SECONDS_MAX, QueryError, Result

ADDRESS_FILE = "sink.json"
STORE_FOLDER = "clickhouse"
WAIT_S = 15.0
"""How long we wait for another process that has the folder and does not answer: it starts, or another query
reads."""
POLL_S = 0.1
HOST = "127.0.0.1"


def moment(row: Mapping[str, Any], name: str) -> int:
    """A time of a row, in UTC microseconds; old servers keep them in a column of their own."""
    return row.get(f"{name}_us") or micros(row[name])


def mapping(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A map of a row; old servers keep keys and values in columns of their own."""
    return row[name] if name in row else dict(zip(row[f"{name}.key"], row[f"{name}.value"], strict=True))


@dataclass(frozen=True, slots=True)
class Address:
    """Where the sink's process answers queries; the file that holds it is readable by its owner only."""

    port: int
    token: str

    def write(self, path: Path) -> None:
        """Replace the file, never half of it."""
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(asdict(self)))
        fresh.replace(path)

    @classmethod
    def read(cls, path: Path) -> Address | None:
        """None where there is no such file, or not a whole one."""
        try:
            found: dict[str, Any] = json.loads(path.read_text())
            return cls(int(found["port"]), str(found["token"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None


Question = Callable[[str], Result]
"""One read-only statement, answered. Raises `QueryError` for SQL that is wrong and `InfrastructureError` where the store is
gone."""


def ask(config: Config, sql: str) -> Result:
    """The answer to one read-only statement.

    Raises `QueryError` for SQL that is wrong and `InfrastructureError` where no store can be asked.
    """
    with asking(config) as question:
        return question(sql)


@contextmanager
def asking(config: Config, wait_s: float = WAIT_S) -> Generator[Question]:
    """For several questions: the store is looked for and opened once. Raises `InfrastructureError` where none can be asked
    within `wait_s`."""
    with ExitStack() as held:
        yield _question(config, held, wait_s)


def _question(config: Config, held: ExitStack, wait_s: float) -> Question:
    if config.clickhouse is not None:
        from streams.sinks import open_store

        return held.enter_context(open_store(config)).query
    if not (config.data_dir / STORE_FOLDER).is_dir():
        raise InfrastructureError(
            f"there is no store in {config.data_dir} yet: run `davy demo` or `davy run`, or name its folder with --dir"
        )
    from streams.sinks.embedded import EmbeddedStore, Locked, folder_of

    deadline = time.monotonic() + wait_s
    while True:
        address = Address.read(config.data_dir / ADDRESS_FILE)
        if address is not None and _of_sink(address, "SELECT 1") is not None:
            return partial(_certainly_of_sink, address)
        try:
            return held.enter_context(EmbeddedStore(folder_of(config))).query
        except Locked:
            if time.monotonic() > deadline:
                raise InfrastructureError(
                    f"another process has the store in {config.data_dir} and does not answer: end it first"
                ) from None
        time.sleep(POLL_S)


def _certainly_of_sink(address: Address, sql: str) -> Result:
    answer = _of_sink(address, sql)
    if answer is None:
        raise InfrastructureError("the sink's process ended while it was asked: try again")
    return answer


def _of_sink(address: Address, sql: str) -> Result | None:
    """None when no sink answers there."""
    from streams.sinks.embedded import parse

    connection = http.client.HTTPConnection(HOST, address.port, timeout=QUERY_SECONDS_MAX + 5)
    try:
        connection.request("POST", "/query", sql.encode(), {"Authorization": f"Bearer {address.token}"})
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException):
        return None  # a file that a killed sink has left behind
    finally:
        connection.close()
    if response.status == http.client.OK:
        return parse(body)
    if response.status in (http.client.BAD_REQUEST, http.client.SERVICE_UNAVAILABLE):
        raise QueryError(json.loads(body)["error"])
    return None  # whatever listens there now is no sink of ours
