"""Stores that take nothing: one sentence says why, rows wait on the disk, and all are there once somebody mended it."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from clickhouse_driver import Client
from confluent_kafka import Producer

from davy import sink
from schemas.config import Clickhouse, Config, load_config
from streams.embedded import EmbeddedBroker
from streams.sinks import migrations
from streams.sinks.embedded import EmbeddedStore, folder_of
from streams.sinks.server import ServerStore
from streams.standing import HERE
from streams.topics import ensure_topics
from tests.streams.chaos import Worker
from tests.streams.sinks import records
from tests.streams.sinks.server import ClickhouseServer
from tests.support.kafka import KafkaBroker
from tests.support.system import until

ROWS = 50
WAIT_S = 40.0
Deed = Callable[[ClickhouseServer, Client], object]
NEWER = migrations.reached(migrations.VERSION + 1)


@dataclass(frozen=True)
class Bad:
    """What is said, what spoils the database (`later`: once it has tables), and what mends it."""

    said: str
    spoil: Deed = lambda server, client: None
    mend: Deed = lambda server, client: None
    later: bool = False
    user: str = "analyst"


BAD = {
    "foreign tables": Bad(
        "is in use for something else: windows is a Log table there",
        lambda server, client: client.execute("CREATE TABLE windows (a Int64) ENGINE = Log"),
        lambda server, client: client.execute("DROP TABLE windows"),
    ),
    "a newer schema": Bad(
        f"has schema {migrations.VERSION + 1}, and this version of Davy knows {migrations.VERSION}",
        lambda server, client: [client.execute(statement) for statement in (migrations.CREATE_NUMBERS, NEWER)],
        lambda server, client: client.execute(f"DROP TABLE {migrations.NUMBERS}"),
    ),
    "a full disk": Bad(
        "File too large",
        lambda server, client: server.fill_disk(True), lambda server, client: server.fill_disk(False), later=True,
    ),
    "a reader's password": Bad("readonly mode", user="reader"),
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickhouseServer]:
    server = ClickhouseServer(tmp_path_factory.mktemp("clickhouse"))
    server.start()
    yield server
    server.stop()


@contextmanager
def running(config: Config) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=sink.run, args=(config, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)
        HERE.trouble = None
        assert not thread.is_alive()


def spooled(config: Config) -> bool:
    return any((config.data_dir / "spool").glob("*/*.rows"))


def send(config: Config, first: int, end: int) -> None:
    producer = Producer(dict(config.kafka))
    for index in range(first, end):
        producer.produce(config.topic("windows"), records.window(index).encode())
    assert producer.flush(20) == 0


def stored(url: str) -> int:
    with ServerStore(url) as store:
        return store.query("SELECT count() FROM windows").rows[0][0]


@pytest.mark.parametrize("what", BAD)
def test_it_is_said_and_rows_wait_until_it_is_mended(
    kafka: KafkaBroker, tmp_path: Path, server: ClickhouseServer, what: str
) -> None:
    bad = BAD[what]
    url = server.url.replace("/davy", f"/bad_{list(BAD).index(what)}")
    config = Config(
        kafka={"bootstrap.servers": kafka.bootstrap}, prefix=f"{tmp_path.name}.", data_dir=str(tmp_path),
        clickhouse=Clickhouse.model_validate({"url": url.replace("analyst", bad.user)}),
    )  # fmt: skip
    ensure_topics(config)
    client = Client.from_url(url)
    Client.from_url(server.url.replace("/davy", "/")).execute(f"CREATE DATABASE {url.rpartition('/')[2]}")
    send(config, 0, 1)
    if not bad.later:
        bad.spoil(server, client)
    with running(config):
        if bad.later:
            until(lambda: not HERE.trouble and client.execute("EXISTS windows")[0][0], WAIT_S, "there were tables")
            until(lambda: stored(url) == 1, WAIT_S, "the first row was stored")
            bad.spoil(server, client)
        send(config, 1, ROWS)
        until(lambda: spooled(config), WAIT_S, "rows wait on the disk")
        assert HERE.trouble is not None
        assert bad.said in HERE.trouble
        assert "\n" not in HERE.trouble
        bad.mend(server, client)
        if bad.user == "analyst":
            until(lambda: not spooled(config) and HERE.trouble is None, WAIT_S, "the store took them")
    if bad.user != "analyst":
        with running(config.model_copy(update={"clickhouse": Clickhouse.model_validate({"url": url})})):
            until(lambda: not spooled(config), WAIT_S, "the store took them")
    assert stored(url) == ROWS


def test_a_sink_with_an_embedded_store_of_a_newer_davy_is_not_ready(tansu: EmbeddedBroker, tmp_path: Path) -> None:
    path = tmp_path / "davy.yaml"
    path.write_text(
        f"kafka: {{bootstrap.servers: '{tansu.bootstrap}'}}\nembedded: true\ndata_dir: {tmp_path / 'data'}\n"
        "limits: {event_partitions: 1, delta_partitions: 1}\n"
    )
    config = load_config(path)
    with EmbeddedStore(folder_of(config)) as store:
        store.migrate([])
        store.run(NEWER)
    ensure_topics(config)
    send(config, 0, ROWS)
    worker, address = Worker(tmp_path, "sink", "sink", path), config.data_dir / "scrape" / "sink-0.json"
    worker.start()
    try:
        until(lambda: address.exists() and spooled(config), WAIT_S, "rows wait on the disk")
        ((place,),) = (group["targets"] for group in json.loads(address.read_text()))
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://{place}/readyz", timeout=5)
        answer = json.load(refused.value)
        assert (refused.value.code, answer["ready"]) == (503, False)
        assert "run the newer Davy that made it" in answer["reason"]
        assert worker.stop() == 0
    finally:
        worker.kill()
