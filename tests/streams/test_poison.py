"""What is broken is told with its place and its reason, exactly, and takes no neighbour with it, on a real Kafka."""

from __future__ import annotations

import random
from pathlib import Path

from confluent_kafka import Producer

from schemas.config import Config, load_config
from streams.ingest_loop import IngestLoop
from streams.topics import ensure_topics
from tests.support import poison
from tests.support.kafka import KafkaBroker

RECORDS = 6000


def configured(folder: Path, broker: KafkaBroker, partitions: int) -> Config:
    path = folder / "davy.yaml"
    path.write_text(
        f"kafka: {{bootstrap.servers: '{broker.bootstrap}'}}\nprefix: {folder.name}.\nembedded: true\n"
        f"limits: {{block_records: 1024, event_partitions: {partitions}, delta_partitions: 1}}\n"
    )
    config = load_config(path)
    ensure_topics(config)
    return config


def check(config: Config, expected: dict[tuple[int, int], str], good: int) -> None:
    """Ingest reads all; the dead letters are exactly those, and everything else is counted."""
    ends = poison.ends(config)
    loop = IngestLoop(config, dict.fromkeys(ends, 0))
    loop.read_up_to(ends)
    assert poison.mismatches(config, expected) == []
    assert poison.counted(config) == (good, len(expected))


def test_every_broken_record_is_told_and_no_other(tmp_path: Path, kafka: KafkaBroker) -> None:
    config, rng = configured(tmp_path, kafka, 3), random.Random(20261125)
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "enable.idempotence": True})  # keeps the order
    places, reasons = [0, 0, 0], {}
    for number in range(RECORDS):
        value, partition = poison.event(number), rng.randrange(3)
        if number % 100 == 7:
            kind = "large" if number % 2000 == 7 else rng.choice(poison.KINDS)
            value, reasons[partition, places[partition]] = poison.broken(kind, value, rng)
        producer.produce(config.topic("events"), value, partition=partition)
        producer.poll(0)
        places[partition] += 1
    producer.flush()
    check(config, reasons, RECORDS - len(reasons))


def test_a_batch_that_unpacks_to_a_bomb_is_passed_over(tmp_path: Path, kafka: KafkaBroker) -> None:
    config, expected, good = configured(tmp_path, kafka, 1), dict[tuple[int, int], str](), 0
    producer, topic = Producer({"bootstrap.servers": kafka.bootstrap}), config.topic("events")
    for records in (1, 9):
        for number in range(700):
            producer.produce(topic, poison.event(number), partition=0)
        producer.flush()
        good += 700
        gone = poison.bomb(kafka.bootstrap, topic, 0, records)
        expected |= {(0, o): f"the batch of offsets {gone.start} to {gone.stop - 1} does not unpack" for o in gone}
    check(config, expected, good)


def test_a_batch_of_another_codec_than_it_says_is_passed_over(tmp_path: Path) -> None:
    broker = KafkaBroker(tmp_path)
    broker.start()
    try:
        config = configured(tmp_path, broker, 1)
        topic, values = config.topic("events"), [poison.event(number) for number in range(100)]
        batches = [poison.gzip_batch(broker.bootstrap, topic, 0, values) for _ in range(3)]
        broker.stop()
        poison.give_wrong_codec(broker, topic, 0, batches[1].start)
        broker.start()
        check(config, {(0, o): "the batch of offsets 100 to 199 does not unpack" for o in batches[1]}, 200)
    finally:
        broker.stop()
