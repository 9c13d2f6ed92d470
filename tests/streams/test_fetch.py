"""Both ways of fetching on a real Kafka: the same columns, and nothing of a partition that was left or sought away from."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from streams.fetch import Blocks, Ended, Failed, Fetch, Fetched, Messages, fetching
from streams.reader import READ_SETTINGS
from tests.support.kafka import KafkaBroker

WAIT_S = 60.0
STAMP_MS = 1_790_000_000_000
Seen = dict[tuple[str, int], list[tuple[int, bytes, bytes | None, int]]]
"""Offset, value, key and timestamp of what came, by partition."""


@pytest.fixture
def topics(kafka: KafkaBroker) -> tuple[str, str]:
    """Two new topics of two partitions."""
    names = f"a-{uuid.uuid4().hex}", f"b-{uuid.uuid4().hex}"
    client = AdminClient({"bootstrap.servers": kafka.bootstrap})
    for future in client.create_topics([NewTopic(name, 2, 1) for name in names]).values():
        future.result(WAIT_S)
    return names


@pytest.fixture
def consumer(kafka: KafkaBroker) -> Iterator[Callable[[], Consumer]]:
    """Makes consumers as ingest's reader does."""
    made: list[Consumer] = []

    def make() -> Consumer:
        settings = {"bootstrap.servers": kafka.bootstrap, "group.id": uuid.uuid4().hex, "enable.partition.eof": True}
        made.append(Consumer(settings | {"enable.auto.commit": False} | READ_SETTINGS))
        return made[-1]

    yield make
    for one in made:
        one.close()


def write(kafka: KafkaBroker, topic: str, records: int, partitions: int = 2) -> None:
    """Records with and without keys and values, some with empty ones."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "linger.ms": 5})
    for i in range(records):
        value = (b"", None, b"x", f"{topic} {i}".encode() * (i % 50))[i % 4]
        key = (None, b"", f"key {i}".encode())[i % 3]
        producer.produce(topic, value, key, partition=i % partitions, timestamp=STAMP_MS + i)
    assert producer.flush(WAIT_S) == 0


def until(fetch: Fetch, done: Callable[[Seen, Fetched], bool]) -> Seen:
    """Fetch until `done` says so."""
    seen: Seen = {}
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        fetched = fetch.fetch(100, 0.1)
        for records in fetched.records:
            for i in range(len(records)):
                place = seen.setdefault((records.topic, int(records.partition[i])), [])
                place.append((int(records.offset[i]), records.values[i], records.key(i), int(records.kafka_us[i])))
        if done(seen, fetched):
            return seen
    raise AssertionError(f"not done within {WAIT_S} s, having seen {seen}")


def ends(count: int) -> Callable[[Seen, Fetched], bool]:
    """That many partitions came to their ends."""
    ended: set[tuple[str, int]] = set()

    def done(_: Seen, fetched: Fetched) -> bool:
        ended.update(told.source for told in fetched.told if isinstance(told, Ended))
        return len(ended) == count

    return done


def started(fetch: Fetch, consumer: Consumer, *places: tuple[str, int, int]) -> None:
    chosen = [TopicPartition(*place) for place in places]
    fetch.follow(chosen)
    consumer.incremental_assign(chosen)


def test_the_ways_give_the_same(kafka: KafkaBroker, topics: tuple[str, str], consumer: Callable[[], Consumer]) -> None:
    for topic in topics:
        write(kafka, topic, 1000)
    found: list[Seen] = []
    for way in (Blocks, lambda c: Messages(c, wants_headers=True)):
        reader = consumer()
        fetch: Fetch = way(reader)
        started(fetch, reader, *((topic, p, 0) for topic in topics for p in (0, 1)))
        found.append(until(fetch, ends(4)))
        fetch.close()
    assert found[0] == found[1]
    assert {place: [offset for offset, *_ in rows] for place, rows in found[0].items()} == {
        (topic, p): list(range(500)) for topic in topics for p in (0, 1)
    }
    assert found[0][topics[0], 0][2] == (2, b"", b"", STAMP_MS * 1000 + 4000)
    assert found[0][topics[0], 1][0] == (0, b"", b"", STAMP_MS * 1000 + 1000)
    assert found[0][topics[0], 0][0] == (0, b"", None, STAMP_MS * 1000)


def test_after_a_seek_only_what_comes_from_there(
    kafka: KafkaBroker, topics: tuple[str, str], consumer: Callable[[], Consumer]
) -> None:
    write(kafka, topics[0], 3000, partitions=1)
    reader = consumer()
    fetch = fetching(reader, wants_headers=False)
    assert isinstance(fetch, Blocks)
    started(fetch, reader, (topics[0], 0, 0))
    for back in (1500, 10, 2999, 0):
        until(fetch, lambda seen, _: len(seen.get((topics[0], 0), ())) > 0)
        reader.seek(TopicPartition(topics[0], 0, back))
        seen = until(fetch, ends(1))
        assert [offset for offset, *_ in seen[topics[0], 0]] == list(range(back, 3000))
        reader.seek(TopicPartition(topics[0], 0, 0))
    fetch.close()


def test_nothing_comes_of_a_partition_that_was_left(
    kafka: KafkaBroker, topics: tuple[str, str], consumer: Callable[[], Consumer]
) -> None:
    write(kafka, topics[0], 4000)
    reader = consumer()
    fetch = Blocks(reader)
    started(fetch, reader, (topics[0], 0, 0), (topics[0], 1, 0))
    until(fetch, lambda seen, _: len(seen) == 2)
    reader.incremental_unassign([TopicPartition(topics[0], 0)])
    rest = until(fetch, ends(1))
    assert set(rest) <= {(topics[0], 1)}
    started(fetch, reader, (topics[0], 0, 1000))
    again = until(fetch, ends(1))
    assert [offset for offset, *_ in again[topics[0], 0]] == list(range(1000, 2000))
    fetch.close()


def test_an_offset_that_is_not_there_is_told(
    kafka: KafkaBroker, topics: tuple[str, str], consumer: Callable[[], Consumer]
) -> None:
    write(kafka, topics[0], 10)
    for way in (Blocks, lambda c: Messages(c, wants_headers=False)):
        reader, told = consumer(), list[Failed]()
        fetch: Fetch = way(reader)
        started(fetch, reader, (topics[0], 0, 77))

        def failed(_: Seen, fetched: Fetched, told: list[Failed] = told) -> bool:
            told += [one for one in fetched.told if isinstance(one, Failed)]
            return bool(told)

        until(fetch, failed)
        assert told[0].source == (topics[0], 0)
        assert told[0].error.code() == KafkaError._AUTO_OFFSET_RESET  # pyright: ignore[reportPrivateUsage]
        fetch.close()


def test_who_closes_early_leaves_nothing_behind(
    kafka: KafkaBroker, topics: tuple[str, str], consumer: Callable[[], Consumer]
) -> None:
    write(kafka, topics[0], 20_000)
    for _ in range(3):
        reader = consumer()
        fetch = Blocks(reader)
        started(fetch, reader, (topics[0], 0, 0), (topics[0], 1, 0))
        until(fetch, lambda seen, _: bool(seen))
        fetch.close()
        fetch.close()
        reader.close()
        with pytest.raises(RuntimeError, match="closed"):
            reader.assignment()
