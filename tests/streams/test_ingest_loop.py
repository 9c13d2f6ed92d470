"""Ingest on a broker: what cannot be used becomes a dead letter with its place and reason, and the rest is counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from schemas import codec
from schemas.config import Config, load_config
from schemas.delta import Cells, Progress, decode_delta
from streams.embedded import EmbeddedBroker
from streams.ingest_loop import IngestLoop, run
from streams.topics import ensure_topics

GOOD = 500


def event(number: int) -> dict[str, object]:
    return {
        "timestamp": time.time_ns() // 1000, "service": "cart", "environment": "test", "version": "1", "experiment_id": "e",
        "variant": "canary", "segment": None, "unit_id": f"u{number}", "instance": None, "endpoint": None,
        "status": 500 if number % 10 == 0 else 200, "error": None, "duration_us": 1000 + number, "cpu_us": None,
        "memory_bytes": None, "measures": None, "sample_rate": 1.0,
    }  # fmt: skip


@pytest.fixture
def config(tmp_path: Path, tansu: EmbeddedBroker) -> Config:
    path = tmp_path / "davy.yaml"
    path.write_text(
        f"kafka: {{bootstrap.servers: '{tansu.bootstrap}'}}\nembedded: true\ndata_dir: {tmp_path / 'data'}\n"
        "limits: {record_bytes: 4096}\n"
    )
    loaded = load_config(path)
    ensure_topics(loaded)
    return loaded


def everything(config: Config, topic: str, partitions: int, done: threading.Event) -> Iterator[Message]:
    consumer = Consumer(dict(config.kafka) | {"group.id": "test", "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(config.topic(topic), p, 0) for p in range(partitions)])
    deadline = time.monotonic() + 30
    try:
        while not done.is_set():
            assert time.monotonic() < deadline, f"{topic} did not become complete within 30 s"
            message = consumer.poll(0.1)
            if message is not None and message.error() is None:
                yield message
    finally:
        consumer.close()


def test_poison_becomes_dead_letters_and_the_rest_is_counted(config: Config) -> None:
    good = [codec.encode("RequestEvent", event(number)) for number in range(GOOD)]
    poison = {
        b"": "empty",
        b"hello": "single-object",
        good[0][:-3]: "schema",
        good[0] + b"more": "trailing",
        codec.MAGIC + b"\x00" * 8 + good[0][10:]: "fingerprint",
        b"\xc3\x01" + b"x" * 5000: "limits.record_bytes",
    }
    producer = Producer(dict(config.kafka))
    for number, value in enumerate(good):
        if number % 100 == 50 or number == 7:
            producer.produce(config.topic("events"), list(poison)[number // 100 if number != 7 else 5], partition=0)
        producer.produce(config.topic("events"), value, partition=0)
    assert producer.flush(10) == 0

    stop, done = threading.Event(), threading.Event()
    thread = threading.Thread(target=run, args=(config, stop))
    thread.start()
    try:
        letters: dict[bytes, dict[str, str]] = {}
        for message in everything(config, "deadletters", 1, done):
            headers = {name: value.decode() for name, value in message.headers() or []}  # pyright: ignore
            letters[message.value() or b""] = headers
            if len(letters) == len(poison):
                done.set()
        done.clear()
        rows: dict[object, int] = {}
        errors: dict[object, int] = {}
        dead = 0
        for message in everything(config, "deltas", config.limits.delta_partitions, done):
            delta = decode_delta(message.value() or b"")
            if isinstance(delta, Cells):
                rows |= {cell.key: cell.rows for cell in delta.cells}
                errors |= {cell.key: cell.errors for cell in delta.cells}
            elif isinstance(delta, Progress):
                dead = max(dead, delta.dead)
            if sum(rows.values()) == GOOD and dead == len(poison):
                done.set()
    finally:
        stop.set()
        thread.join(20)
    assert not thread.is_alive(), "ingest did not stop"
    assert sum(errors.values()) == GOOD // 10
    for value, said in poison.items():
        headers = letters[value]
        assert headers["davy_topic"] == config.topic("events")
        assert headers["davy_partition"] == "0"
        assert headers["davy_reason"], value[:20]
        assert said in headers["davy_reason"] or said in ("schema", "trailing"), headers
    offsets = sorted(int(headers["davy_offset"]) for headers in letters.values())
    assert offsets == [7, 51, 152, 253, 354, 455]


def test_an_idle_loop_ends_quietly_when_it_is_told_to(config: Config) -> None:
    """An idle topic, and everything that once stood still with it: commits, watermarks, the end."""
    loop = IngestLoop(config)
    stop = threading.Event()
    thread = threading.Thread(target=loop.run, args=(stop,))
    thread.start()
    deadline = time.monotonic() + 15
    while len(loop.ingest.tables) < config.limits.event_partitions and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(loop.ingest.tables) == config.limits.event_partitions
    stop.set()
    thread.join(15)
    assert not thread.is_alive()
