"""The sink through outages of a real ClickHouse, on a real Kafka: nothing is lost, nothing twice, offsets go on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import KafkaException, Producer, TopicPartition

from davy import sink
from schemas.config import Clickhouse, Config
from schemas.limits import Limits
from streams import kafka as clients
from streams.embedded import free_port
from streams.sinks.server import ServerStore
from streams.topics import ensure_topics
from tests.streams.sinks import records
from tests.streams.sinks.server import clickhouse_server
from tests.support.kafka import KafkaBroker
from tests.support.system import until

MIB = 2**20
FULL = "the spool is full: nothing is read until the store is back"


@pytest.fixture
def config(kafka: KafkaBroker, tmp_path: Path) -> Config:
    config = Config(
        kafka={"bootstrap.servers": kafka.bootstrap},
        prefix=f"{tmp_path.name}.",
        data_dir=str(tmp_path),
        clickhouse=Clickhouse.model_validate(
            {"url": f"clickhouse://analyst:s3cret@127.0.0.1:{free_port()}/davy?connect_timeout=1"}
        ),
        limits=Limits(spool_bytes=MIB),
    )
    ensure_topics(config)
    return config


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Events of the sink's log; where its lines go depends on what else ran in this process."""
    events: list[str] = []

    class Log:
        def info(self, event: str, **_: object) -> None:
            events.append(event)

        warning = info

    monkeypatch.setattr(sink, "log", Log())
    return events


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
        assert not thread.is_alive()


def server(config: Config) -> Iterator[str]:
    assert config.clickhouse is not None
    port = int(config.clickhouse.url.get_secret_value().rpartition("/")[0].rpartition(":")[2])
    return clickhouse_server(config.data_dir / "server", port)  # pyright: ignore[reportReturnType]


def send(config: Config, first: int, end: int, revision: int = 1, text: int = 0) -> None:
    """Windows first to end; `text` bytes of noise in each, so that they fill a disk."""
    import os

    producer = Producer(dict(config.kafka))
    for index in range(first, end):
        value = records.window(index, revision=revision, rows=10 * revision)
        if text:
            value = type(value)(
                *[getattr(value, name) if name != "version" else os.urandom(text).hex() for name in value.__slots__]
            )
        producer.produce(config.topic("windows"), value.encode())
    assert producer.flush(20) == 0


def committed(config: Config) -> int:
    reader = clients.consumer(config, f"{config.prefix}sink")
    try:
        (place,) = reader.committed([TopicPartition(config.topic("windows"), 0)], 10)
        return place.offset
    except KafkaException:  # the coordinator moves in just after its start
        return -1
    finally:
        reader.close()


def spooled(config: Config) -> int:
    return sum(path.stat().st_size for path in (config.data_dir / "spool").glob("*/*.rows"))


def counts(url: str) -> list[tuple[int, int]]:
    with ServerStore(url) as store:
        return [tuple(row) for row in store.query("SELECT rows, count() FROM windows GROUP BY rows ORDER BY rows").rows]


def test_an_outage_is_caught_up_row_by_row(config: Config) -> None:
    with running(config):  # the server is not there from the beginning
        send(config, 0, 200)
        until(lambda: committed(config) == 200, 20, "the sink went on without the store")
        assert spooled(config) > 0
        with server(config) as url:
            until(lambda: spooled(config) == 0, 30, "the spool was emptied")
            assert counts(url) == [(10, 200)]
            send(config, 0, 50, revision=2)
            until(lambda: counts(url) == [(10, 150), (20, 50)], 20, "rows came directly")
            assert spooled(config) == 0
        send(config, 0, 20, revision=3)
        until(lambda: committed(config) == 270, 30, "the sink went on in the second outage")
    assert spooled(config) > 0
    with server(config) as url, running(config):  # another process finds the spool
        until(lambda: spooled(config) == 0, 30, "the spool was emptied")
        assert counts(url) == [(10, 150), (20, 30), (30, 20)]


def test_more_than_the_spool_may_take_waits_and_goes_through_once_the_store_is_there(
    config: Config, said: list[str]
) -> None:
    total = 1500
    send(config, 0, total, text=2048)  # there before the sink begins: one flush
    with running(config):
        until(lambda: FULL in said, 30, "they did not fit")
        assert (spooled(config), committed(config) < total) == (0, True)
        with server(config) as url:
            until(lambda: committed(config) == total, 60, "all was stored")
            assert counts(url) == [(10, total)]


def test_a_full_spool_leaves_the_rest_in_kafka(config: Config, said: list[str]) -> None:
    total, some = 6_000, 600
    with running(config):
        for end in range(some, 4 * some, some):
            send(config, end - some, end, text=256)
            until(lambda end=end: committed(config) == end, 30, "the spool took them")
        send(config, 3 * some, total, text=256)
        until(lambda: FULL in said, 30, "the rest did not fit")
        assert spooled(config) > 0.3 * MIB
        assert committed(config) < total
        with server(config) as url:
            until(lambda: spooled(config) == 0 and committed(config) == total, 60, "all was read")
            assert counts(url) == [(10, total)]
    assert spooled(config) == 0
