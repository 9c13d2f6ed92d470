"""Reading a topic to its end, while others write to it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Producer

from schemas.config import Config, load_config
from schemas.errors import InfrastructureError
from streams import kafka
from streams.embedded import EmbeddedBroker
from streams.topics import ensure_topics
from tests.support.kafka import KafkaBroker
from tests.support.system import until

FENCED_S = 40.0
READS, EACH, PAUSE_S = 10, 50, 0.002


@pytest.fixture
def config(tmp_path: Path, tansu: EmbeddedBroker) -> Config:
    path = tmp_path / "davy.yaml"
    path.write_text(f"kafka: {{bootstrap.servers: '{tansu.bootstrap}'}}\nembedded: true\n")
    loaded = load_config(path)
    ensure_topics(loaded)
    return loaded


def test_a_partition_that_grows_meanwhile_hides_no_other(config: Config) -> None:
    """Its end is told again and again: counted as other partitions' ends, those would be read in part, or never end."""
    topic, producer, stop = config.topic("events"), Producer(dict(config.kafka) | {"linger.ms": 0}), threading.Event()
    partitions = kafka.partitions(config, topic)
    assert len(partitions) > 1
    for number in range(EACH):
        for partition in partitions:
            producer.produce(topic, b"%d" % number, partition=partition)
    assert producer.flush(10) == 0

    def grow() -> None:
        while not stop.is_set():
            producer.produce(topic, b"more", partition=0)
            producer.flush(1)
            stop.wait(PAUSE_S)

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        for _ in range(READS):
            found = [(m.partition(), m.value()) for m in kafka.to_end(config, topic, "test") if m.value() != b"more"]
            assert sorted(found) == sorted((p, b"%d" % number) for number in range(EACH) for p in partitions)
        assert {m.partition() for m in kafka.to_end(config, topic, "test", partition=1)} == {1}
    finally:
        stop.set()
        thread.join()


def test_a_large_last_batch_is_read_whole(config: Config) -> None:
    """The embedded broker says that a partition ends one behind the beginning of its last batch."""
    topic, producer = config.topic("verdicts"), Producer(dict(config.kafka) | {"linger.ms": 500})
    for number in range(3 * kafka.READ_MAX):
        producer.produce(topic, b"%d" % number)
    assert producer.flush(10) == 0
    assert len(list(kafka.to_end(config, topic, "test"))) == 3 * kafka.READ_MAX


def test_no_topic_has_no_records_and_a_silent_broker_is_told(
    config: Config, tansu: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(kafka.to_end(config, "nothing", "test")) == []
    monkeypatch.setattr(kafka, "BROKER_TIMEOUT_S", 0.5)
    monkeypatch.setattr(kafka, "partitions", lambda config, topic: [0])  # what it said while it was well
    tansu.stop()
    with pytest.raises(InfrastructureError, match=r"does not answer for davy\.events"):
        list(kafka.to_end(config, config.topic("events"), "test"))


def test_a_member_whose_place_another_took_is_done_for(kafka_config: Config) -> None:
    """As one whose request to join was sent twice: its client is silent from then on, and says so once."""
    topic, said = kafka_config.topic("events"), list[KafkaError]()

    def member() -> Consumer:
        made = kafka.consumer(
            kafka_config,
            "fenced",
            **{"group.instance.id": "one", "partition.assignment.strategy": "cooperative-sticky"},
        )
        made.subscribe([topic])
        return made

    def reads(consumer: Consumer) -> bool:
        for message in consumer.consume(10, 0.1):
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:  # pyright: ignore[reportPrivateUsage]
                said.append(error)
        return bool(consumer.assignment())

    first = member()
    until(lambda: reads(first), FENCED_S, "the first one had its partitions")
    said.clear()
    second = member()
    until(lambda: (reads(second), reads(first), said)[-1], FENCED_S, "the first one heard that it is fenced")
    with pytest.raises(InfrastructureError, match="gave up"):
        kafka.require_alive(said[0])
    for consumer in (first, second):
        consumer.close()


@pytest.fixture
def kafka_config(tmp_path: Path, request: pytest.FixtureRequest) -> Config:
    broker: KafkaBroker = request.getfixturevalue("kafka")
    path = tmp_path / "davy.yaml"
    path.write_text(f"kafka: {{bootstrap.servers: '{broker.bootstrap}'}}\nprefix: 'fenced.'\n")
    loaded = load_config(path)
    ensure_topics(loaded)
    return loaded
