"""The sample of request events on a real Kafka: the same rows on both engines, whatever is killed; shed before all else."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from davy import raw_events, sink
from davy.spool import Shed
from davy.store import ask
from schemas import codec
from schemas.codec import Malformed, UnknownSchema, micros
from schemas.config import Config, load_config
from streams import kafka as clients
from streams.sampling import sampled
from streams.topics import ensure_topics
from tests.davy.test_sink_kills import running, settled
from tests.streams.chaos import Worker
from tests.streams.sinks import records
from tests.streams.sinks.server import ClickhouseServer
from tests.support.kafka import KafkaBroker
from tests.support.system import until

SHARE = 0.4
CATCH_UP_S = 90.0
Place = tuple[int, int]
"""Partition and offset."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickhouseServer]:
    server = ClickhouseServer(tmp_path_factory.mktemp("clickhouse"))
    server.start()
    yield server
    server.stop()


def written(kafka: KafkaBroker, folder: Path, *more: str) -> Path:
    """A configuration, its topics made."""
    folder.mkdir()
    path = folder / "davy.yaml"
    said = [
        f"kafka: {{bootstrap.servers: '{kafka.bootstrap}'}}",
        f"prefix: '{folder.parent.name}-{folder.name}.'",
        f"data_dir: {folder / 'data'}",
        f"raw_events: {{sample: {SHARE}}}",
        *more,
    ]
    path.write_text("\n".join(said) + "\n")
    ensure_topics(load_config(path))
    return path


def event(number: int, text: str = "u") -> bytes:
    """Each is another one; every fiftieth is none."""
    if number % 50 == 49:
        return b"junk"
    nothing = ("experiment_id", "variant", "segment", "endpoint", "error", "cpu_us", "memory_bytes", "measures")
    said = {
        "timestamp": time.time_ns() // 1000, "service": "cart", "environment": "test", "version": "1", "instance": text,
        "unit_id": f"unit-{number}", "status": 200 + 300 * (number % 7 == 0), "duration_us": number, "sample_rate": 0.5,
    }  # fmt: skip
    return codec.encode("RequestEvent", dict.fromkeys(nothing) | said)


class Load(threading.Thread):
    """Sends events until `stop`."""

    def __init__(self, config: Config) -> None:
        super().__init__(daemon=True)
        self._config, self._stopping = config, threading.Event()

    def run(self) -> None:
        producer, number = Producer(dict(self._config.kafka)), 0
        while not self._stopping.wait(0.05):
            for one in range(50 * number, 50 * number + 50):
                producer.produce(self._config.topic("events"), event(one))
            producer.produce(self._config.topic("windows"), records.window(number).encode())
            number += 1
            producer.poll(0)
        assert producer.flush(60) == 0

    def stop(self) -> None:
        self._stopping.set()
        self.join()


def send(config: Config, count: int, text: bool = False) -> None:
    """Events; with `text` each has noise that no disk packs."""
    producer = Producer(dict(config.kafka))
    for number in range(count):
        producer.produce(config.topic("events"), event(number, os.urandom(1024).hex() if text else "u"))
    assert producer.flush(60) == 0


def ends(reader: Consumer, config: Config) -> dict[int, int]:
    topic = config.topic("events")
    places = [(p, TopicPartition(topic, p)) for p in clients.partitions(config, topic)]
    return {p: reader.get_watermark_offsets(place, timeout=10)[1] for p, place in places}


def caught_up(config: Config) -> bool:
    """Whether all events were looked at, and what is kept of them is in the store."""
    reader = clients.consumer(config, f"{config.prefix}{raw_events.GROUP}")
    try:
        end = ends(reader, config)
        read = reader.committed([TopicPartition(config.topic("events"), p) for p in end], 10)
    except KafkaException:  # the coordinator moves in just after its start
        return False
    finally:
        reader.close()
    waits = list((config.data_dir / "spool").glob("*/*.events"))
    return not waits and all(max(0, place.offset) == end[place.partition] for place in read)


def sample(config: Config) -> dict[Place, dict[str, Any]]:
    """The events of the sample that can be read, from the log by plain means."""
    reader = clients.consumer(config, f"{config.prefix}recount")
    topic, found = config.topic("events"), dict[Place, dict[str, Any]]()
    try:
        places = [TopicPartition(topic, p) for p in clients.partitions(config, topic)]
        spans = {place.partition: reader.get_watermark_offsets(place, timeout=10) for place in places}
        reader.assign([TopicPartition(topic, p, begin) for p, (begin, _) in spans.items()])
        left = sum(end - begin for begin, end in spans.values())
        while left:
            for message in reader.consume(5000, 1.0):
                if message.error() is not None:
                    continue
                left -= 1
                place = (int(message.partition() or 0), int(message.offset() or 0))
                if sampled(topic, np.array([place[0]]), np.array([place[1]]), SHARE)[0]:
                    with suppress(Malformed, UnknownSchema):
                        found[place] = codec.decode_as("RequestEvent", message.value() or b"")
    finally:
        reader.close()
    return found


def shown(config: Config) -> dict[Place, dict[str, Any]]:
    """As `sample` has them; one that is shown twice fails."""
    rows = ask(config, "SELECT * FROM events").dicts()
    found = {(row["partition"], row["offset"]): row for row in rows}
    assert len(found) == len(rows), "an event is shown twice"
    return {place: _as_sent(row) for place, row in found.items()}


def _as_sent(row: dict[str, Any]) -> dict[str, Any]:
    exact = row["timestamp_us"] if "timestamp_us" in row else micros(row["timestamp"])
    row |= {"timestamp": exact, "sample_rate": row["sample_rate"] / SHARE, "measures": None}
    return {name: row[name] for name in codec.decode_as("RequestEvent", event(0))}


def test_both_engines_keep_the_same_sample(kafka: KafkaBroker, tmp_path: Path, server: ClickhouseServer) -> None:
    for name, more in (("embedded", []), ("native", [f"clickhouse: {{url: '{server.url}_raw'}}"])):
        path = written(kafka, tmp_path / name, *more)
        config = load_config(path)
        send(config, 3000)
        with running(Worker(tmp_path, name, "sink", path)):
            until(partial(caught_up, config), CATCH_UP_S, f"all events were given to the {name} engine")
            expected = sample(config)
            assert 1000 < len(expected) < 1400
            assert shown(config) == expected


@pytest.mark.parametrize("kills", [4, pytest.param(50, marks=[pytest.mark.full, pytest.mark.timeout(900)])])
def test_kills_of_server_and_sink_under_load_lose_and_double_nothing(
    kafka: KafkaBroker, tmp_path: Path, server: ClickhouseServer, kills: int
) -> None:
    database = f"{server.url}_raw_killed_{kills}?connect_timeout=1"
    path = written(kafka, tmp_path / "killed", f"clickhouse: {{url: '{database}'}}")
    config, chance = load_config(path), random.Random(kills)
    worker, load = Worker(tmp_path, "sink", "sink", path), Load(config)
    load.start()
    with running(worker):
        until(lambda: "ready" in worker.log.read_text(), CATCH_UP_S, "the sink had begun")
        for number in range(kills):
            time.sleep(chance.uniform(0.1, 3.0))
            victims = [worker, server] if number % 3 == 2 else [(worker, server)[number % 3]]
            for victim in victims:
                victim.kill()
            time.sleep(chance.uniform(0.0, 1.0))
            for victim in reversed(victims):
                victim.start()
        load.stop()
        until(lambda: settled(config) and caught_up(config), CATCH_UP_S, "the sink caught up")
        assert shown(config) == sample(config)
        assert ask(config, "SELECT count() > 0 FROM windows").rows == [[1]]


def test_an_outage_sheds_raw_events_and_no_window(
    kafka: KafkaBroker, tmp_path: Path, server: ClickhouseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_events, "FLUSH_S", 0.2)
    url = f"{server.url}_raw_outage?connect_timeout=1"
    path = written(kafka, tmp_path / "outage", f"clickhouse: {{url: '{url}'}}", f"limits: {{spool_bytes: {2**20}}}")
    config, stop = load_config(path), threading.Event()
    unreadable = raw_events.UNREADABLE.labels(config.topic("events"))
    server.kill()
    thread = threading.Thread(target=sink.run, args=(config, stop))
    thread.start()
    try:
        for _ in range(8):
            send(config, 500, text=True)
            time.sleep(0.5)
        until(lambda: not waiting(config), 30, "all events were looked at")
        folder = next((config.data_dir / "spool").iterdir())
        assert sum(file.stat().st_size for file in folder.glob("*.*[ws]")) <= 2**20
        assert Shed.of(folder).rows > 100
        producer = Producer(dict(config.kafka))
        for number in range(400):
            producer.produce(config.topic("windows"), records.window(number).encode())
        assert producer.flush(20) == 0
        server.start()
        until(lambda: settled(config) and caught_up(config), CATCH_UP_S, "what the disk had is in the store")
        expected, there = sample(config), shown(config)
        assert len(there) + Shed.of(folder).rows == len(expected)
        assert there.items() <= expected.items()
        assert there
        newest = [max(row["timestamp"] for row in found.values()) for found in (expected, there)]
        assert newest[0] == newest[1], "the oldest were shed, not the newest"
        assert ask(config, "SELECT count() FROM windows").rows == [[400]]
        assert unreadable._value.get() > 10
    finally:
        stop.set()
        thread.join(20)


def waiting(config: Config) -> int:
    """Events that were not looked at."""
    reader = clients.consumer(config, f"{config.prefix}{raw_events.GROUP}")
    try:
        end = ends(reader, config)
        read = reader.committed([TopicPartition(config.topic("events"), p) for p in end], 10)
        return sum(end[place.partition] - max(0, place.offset) for place in read)
    finally:
        reader.close()


def test_what_left_kafka_unread_is_told_and_the_rest_is_there(kafka: KafkaBroker, tmp_path: Path) -> None:
    path = written(kafka, tmp_path / "short")
    config, topic = load_config(path), load_config(path).topic("events")
    send(config, 800)
    worker = Worker(tmp_path, "short", "sink", path)
    with running(worker):
        until(partial(caught_up, config), CATCH_UP_S, "the first were read")
    send(config, 800)
    reader = clients.consumer(config, f"{config.prefix}{raw_events.GROUP}")
    end = ends(reader, config)
    places = reader.committed([TopicPartition(topic, p) for p in end], 10)
    read = {place.partition: max(0, place.offset) for place in places}
    reader.close()
    cut = {p: read[p] + unread // 2 for p in end if (unread := end[p] - read[p]) > 1}
    client = AdminClient({"bootstrap.servers": kafka.bootstrap})
    for future in client.delete_records([TopicPartition(topic, p, offset) for p, offset in cut.items()]).values():
        future.result()
    missed = {p: offset - read[p] for p, offset in cut.items()}
    assert missed
    with running(worker):
        until(partial(caught_up, config), CATCH_UP_S, "the rest was read")
        lines = [
            json.loads(line) for line in worker.log.read_text().splitlines() if '"events left Kafka unread"' in line
        ]
        assert {line["partition"]: line["count"] for line in lines} == missed
        there = {place: row for place, row in shown(config).items() if place[1] >= cut.get(place[0], 0)}
        assert there == sample(config)
