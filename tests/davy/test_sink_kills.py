"""The sink as a process: both engines hold the same rows, and what kills under load leave equals a recount of the log."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from davy.store import ask
from schemas.config import Config, load_config
from streams import kafka as clients
from streams.topics import ensure_topics
from tests.streams.chaos import Worker
from tests.streams.sinks.server import ClickhouseServer
from tests.support.history import recount, shown, topics, workload
from tests.support.kafka import KafkaBroker
from tests.support.system import until

RECORDS = 1500
PER_SECOND = 500
STEP_S = 0.05
CATCH_UP_S = 90.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickhouseServer]:
    server = ClickhouseServer(tmp_path_factory.mktemp("clickhouse"))
    server.start()
    yield server
    server.stop()


def written(kafka: KafkaBroker, folder: Path, prefix: str, clickhouse: str = "") -> Path:
    """A configuration, its topics made."""
    folder.mkdir()
    path = folder / "davy.yaml"
    path.write_text(
        f"kafka: {{bootstrap.servers: '{kafka.bootstrap}'}}\nprefix: '{prefix}.'\ndata_dir: {folder / 'data'}\n{clickhouse}"
    )
    ensure_topics(load_config(path))
    return path


@contextmanager
def running(sink: Worker) -> Iterator[None]:
    sink.start()
    try:
        yield
        assert sink.stop() == 0, sink.last_words()
    finally:
        sink.kill()


def places(reader: Consumer, config: Config) -> list[tuple[TopicPartition, int]]:
    """Every partition that the sink reads, and where it ends."""
    found: list[tuple[TopicPartition, int]] = []
    for topic in topics(config):
        for partition in clients.partitions(config, topic):
            place = TopicPartition(topic, partition)
            found.append((place, reader.get_watermark_offsets(place, timeout=10)[1]))
    return found


def settled(config: Config) -> bool:
    """Whether all that is in the log is in the store: nothing is unread, nothing waits on the disk."""
    reader = clients.consumer(config, f"{config.prefix}sink")
    try:
        ends = places(reader, config)
        read = reader.committed([place for place, _ in ends], 10)
    except KafkaException:  # the coordinator moves in just after its start
        return False
    finally:
        reader.close()
    waits = list((config.data_dir / "spool").glob("*/*.rows"))
    return not waits and all(max(0, place.offset) == end for place, (_, end) in zip(read, ends, strict=True))


def logged(config: Config) -> Iterator[tuple[str, bytes]]:
    """Every record, read from the beginning."""
    reader = clients.consumer(config, f"{config.prefix}recount")
    try:
        ends = places(reader, config)
        reader.assign([TopicPartition(place.topic, place.partition, 0) for place, _ in ends])
        left = sum(end for _, end in ends)
        while left:
            for message in reader.consume(5000, 1.0):
                if message.error() is None:  # else a partition's end was reached
                    left -= 1
                    yield topics(config)[str(message.topic())], message.value() or b""
    finally:
        reader.close()


def test_both_engines_hold_the_same_rows(kafka: KafkaBroker, tmp_path: Path, server: ClickhouseServer) -> None:
    log = list(islice(workload(1), RECORDS))
    expected = recount(log)
    assert all(expected.values())
    for name, clickhouse in (("embedded", ""), ("native", f"clickhouse: {{url: '{server.url}_same'}}\n")):
        path = written(kafka, tmp_path / name, f"{tmp_path.name}-{name}", clickhouse)
        config = load_config(path)
        producer = Producer(dict(config.kafka))
        for topic, value in log:
            producer.produce(config.topic(topic), value)
        assert producer.flush(20) == 0
        with running(Worker(tmp_path, name, "sink", path)):
            until(lambda config=config: settled(config), CATCH_UP_S, f"the sink gave all to the {name} engine")
            assert shown(partial(ask, config)) == expected


class Load(threading.Thread):
    """Produces until `stop`."""

    def __init__(self, config: Config, seed: int) -> None:
        super().__init__(daemon=True)
        self._config, self._records = config, workload(seed)
        self._producer, self._stopping = Producer(dict(config.kafka)), threading.Event()

    def run(self) -> None:
        while not self._stopping.wait(STEP_S):
            for topic, value in islice(self._records, round(PER_SECOND * STEP_S)):
                self._producer.produce(self._config.topic(topic), value)
            self._producer.poll(0)

    def stop(self) -> None:
        self._stopping.set()
        self.join()
        assert self._producer.flush(60) == 0


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=[pytest.mark.full, pytest.mark.timeout(900)])])
def test_kills_of_server_and_sink_under_load_lose_and_double_nothing(
    kafka: KafkaBroker, tmp_path: Path, server: ClickhouseServer, kills: int
) -> None:
    database = f"{server.url}_killed_{kills}?connect_timeout=1"
    path = written(kafka, tmp_path / "killed", f"{tmp_path.name}-killed", f"clickhouse: {{url: '{database}'}}\n")
    config, chance = load_config(path), random.Random(kills)
    sink, load = Worker(tmp_path, "sink", "sink", path), Load(config, kills)
    load.start()
    with running(sink):
        until(lambda: "ready" in sink.log.read_text(), CATCH_UP_S, "the sink had begun")
        for number in range(kills):
            time.sleep(chance.uniform(0.1, 1.5))  # at any moment of its work
            victims = [sink, server] if number % 3 == 2 else [(sink, server)[number % 3]]
            for victim in victims:
                victim.kill()
            time.sleep(chance.uniform(0.0, 1.0))
            for victim in reversed(victims):
                victim.start()
        load.stop()
        until(lambda: settled(config), CATCH_UP_S, "the sink caught up")
        assert shown(partial(ask, config)) == recount(logged(config))
    totals = ask(config, "SELECT (SELECT sum(rows) FROM windows), (SELECT sum(rows) FROM windows_1d)").rows[0]
    assert totals[0] == totals[1] > 0, "the roll-ups tell the same"
