"""Ingest on a real Kafka: transaction markers, aborted records, retention, and a repair that says the same again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from davy.commands.repair import repair
from schemas import codec
from schemas.config import Config, load_config
from schemas.delta import Cell, Cells, Delta, Progress, Truncated, decode_delta
from streams.ingest_loop import run
from streams.topics import ensure_topics
from tests.support.kafka import KafkaBroker

WAIT_S = 60
BLOCK = 1024
GOOD = 3000


@pytest.fixture
def config(tmp_path: Path, kafka: KafkaBroker) -> Config:
    path = tmp_path / "davy.yaml"
    path.write_text(
        f"kafka: {{bootstrap.servers: '{kafka.bootstrap}'}}\nprefix: {tmp_path.name}.\ndata_dir: {tmp_path / 'data'}\n"
        f"limits: {{block_records: {BLOCK}, event_partitions: 1, delta_partitions: 2}}\n"
    )
    loaded = load_config(path)
    ensure_topics(loaded)
    return loaded


def event(number: int) -> bytes:
    nothing = ("segment", "instance", "endpoint", "error", "cpu_us", "memory_bytes", "measures")
    return codec.encode(
        "RequestEvent",
        dict.fromkeys(nothing) | {
            "timestamp": time.time_ns() // 1000, "service": "cart", "environment": "test", "version": "1",
            "experiment_id": f"e{number % 3}", "variant": "canary", "unit_id": f"u{number}", "status": 200,
            "duration_us": number, "sample_rate": 1.0,
        },
    )  # fmt: skip


def write(config: Config, numbers: range, commit: bool) -> None:
    """One transaction."""
    producer = Producer(dict(config.kafka) | {"transactional.id": f"{config.prefix}{commit}"})
    producer.init_transactions()
    producer.begin_transaction()
    for number in numbers:
        producer.produce(config.topic("events"), event(number), partition=0)
        producer.poll(0)
    producer.flush()
    if commit:
        producer.commit_transaction()
    else:
        producer.abort_transaction()


def deltas(config: Config, enough: Callable[[list[Delta]], bool]) -> list[Delta]:
    """What the delta topic holds, once it is enough."""
    consumer = Consumer(dict(config.kafka) | {"group.id": "test", "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(config.topic("deltas"), p, 0) for p in range(config.limits.delta_partitions)])
    found: list[Delta] = []
    deadline = time.monotonic() + WAIT_S
    while not enough(found):
        assert time.monotonic() < deadline, f"not enough within {WAIT_S} s: {found[-3:]}"
        found += [decode_delta(m.value() or b"") for m in consumer.consume(500, 0.1) if m.error() is None]
    consumer.close()
    return found


def high_watermark(config: Config) -> int:
    consumer = Consumer(dict(config.kafka) | {"group.id": "test"})
    high = consumer.get_watermark_offsets(TopicPartition(config.topic("events"), 0), 10)[1]
    consumer.close()
    return high


def reached(end: int) -> Callable[[list[Delta]], bool]:
    return lambda found: ends(found, end) > 0


def ends(found: list[Delta], end: int) -> int:
    """How often progress up to there was told."""
    return sum(isinstance(delta, Progress) and delta.upto == end for delta in found)


class Ingesting:
    """The ingest role in a thread of its own."""

    def __init__(self, config: Config) -> None:
        self.stop = threading.Event()
        self.thread = threading.Thread(target=run, args=(config, self.stop))

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join(WAIT_S)
        assert not self.thread.is_alive(), "ingest did not stop"


def newest(found: list[Delta]) -> dict[tuple[object, ...], Cell]:
    """Every cell at its largest `upto`."""
    cells: dict[tuple[object, ...], tuple[int, Cell]] = {}
    for delta in found:
        if isinstance(delta, Cells):
            for cell in delta.cells:
                held = cells.get((delta.block, *cell.key))
                if held is None or held[0] <= delta.upto:
                    cells[delta.block, *cell.key] = (delta.upto, cell)
    return {key: cell for key, (_, cell) in cells.items()}


def test_transactions_are_counted_exactly_and_their_markers_hold_nothing_back(config: Config) -> None:
    write(config, range(0, GOOD // 2), commit=True)
    write(config, range(0, 500), commit=False)
    write(config, range(GOOD // 2, GOOD), commit=True)  # the log ends with a marker, which no reader ever sees
    end = high_watermark(config)
    assert end == GOOD + 500 + 3
    with Ingesting(config):
        found = deltas(config, reached(end))
    assert sum(cell.rows for cell in newest(found).values()) == GOOD


def test_a_repair_says_the_same_again(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    write(config, range(GOOD), commit=True)
    end = high_watermark(config)
    with Ingesting(config):
        before = deltas(config, reached(end))
    assert repair(0, "0..", None, config) == 0
    assert f"offsets 0 to {end}" in capsys.readouterr().out
    after = deltas(config, lambda found: ends(found, end) > ends(before, end))
    said: dict[tuple[object, ...], Cell] = {}
    for delta in after:
        if isinstance(delta, Cells):
            for cell in delta.cells:
                key = (delta.block, delta.upto, *cell.key)
                assert said.setdefault(key, cell) == cell, "one identity, two contents"
    assert newest(after) == newest(before)


def test_what_retention_took_is_told(config: Config) -> None:
    write(config, range(GOOD), commit=True)
    with Ingesting(config):
        deltas(config, reached(high_watermark(config)))
    write(config, range(GOOD), commit=True)
    low = GOOD + 1500
    admin = AdminClient(dict(config.kafka))
    for future in admin.delete_records([TopicPartition(config.topic("events"), 0, low)]).values():
        future.result(WAIT_S)
    with Ingesting(config):
        found = deltas(config, lambda found: sum(isinstance(delta, Truncated) for delta in found) == 2)
        found = deltas(config, reached(high_watermark(config)))
    begin = -(-low // BLOCK) * BLOCK
    gone = {(delta.start, delta.end) for delta in found if isinstance(delta, Truncated)}
    assert gone == {(GOOD // BLOCK * BLOCK, begin)}
    after = [delta for delta in found if isinstance(delta, Cells) and delta.block >= begin // BLOCK]
    assert after, "ingest did not go on behind the hole"
