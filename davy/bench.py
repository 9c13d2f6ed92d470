"""Measures what Davy's first stage costs beside reading the log: the same topic through a bare consumer and through ingest.

Both run in this process, in turns, so that what else the machine does hits both; the figures are the medians of the rounds.
The bare consumer has as much room for fetched records as Davy's, and else the library's settings; `tuned` gives it all of
Davy's, which nobody has who was not told. CPU is that of the whole process, the Kafka library's threads included.
"""

from __future__ import annotations

import statistics
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import numpy as np
import pyarrow as pa
from confluent_kafka import KafkaException, Producer, TopicPartition

from davy.progress import Advance, unseen
from schemas.config import Config
from schemas.errors import InfrastructureError
from streams import kafka
from streams.columns import EVENT_SCHEMA
from streams.encode import encode
from streams.ingest_loop import IngestLoop
from streams.reader import FETCH_MAX, FETCH_WAIT_S, READ_SETTINGS
from streams.topics import Futures, ensure_topics

PARTITIONS = 4
EXPERIMENTS = 200
UNITS = 100_000
RATE = 100_000
"""Events per second of event time: a 5 s window holds 500,000."""
FILL_ROWS = 50_000
FILL_SETTINGS: dict[str, str | int] = {
    "linger.ms": 20, "batch.size": 1_000_000, "queue.buffering.max.messages": 1_000_000,
}  # fmt: skip
Settings = Mapping[str, str | int]
UNTUNED: Settings = {name: value for name, value in READ_SETTINGS.items() if name != "fetch.queue.backoff.ms"}
FLUSH_S = 120.0
ADMIN_S = 30.0

Headers = list[tuple[str, str | bytes | None]]
Tell = Callable[[str], None]
Frame = Callable[[pa.RecordBatch], pa.BinaryArray]
"""Rows to the bytes of their records."""


@dataclass(frozen=True, slots=True)
class Round:
    """One reading of the whole topic; seconds."""

    events: int
    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Result:
    """Medians over the rounds: events per second, CPU microseconds per event."""

    bare: float
    davy: float
    ratio: float
    bare_cpu_us_per_event: float
    cpu_us_per_event: float


@dataclass(frozen=True, slots=True)
class Rounds:
    """Readings in turns."""

    bare: list[Round]
    davy: list[Round]
    tuned: list[Round]
    """By the bare consumer with all of Davy's settings; none where they were not asked for."""

    def result(self) -> Result:
        """Medians."""
        return Result(
            bare=speed(self.bare),
            davy=speed(self.davy),
            ratio=ratio(self.davy, self.bare),
            bare_cpu_us_per_event=statistics.median(1e6 * r.cpu_s / r.events for r in self.bare),
            cpu_us_per_event=statistics.median(1e6 * r.cpu_s / r.events for r in self.davy),
        )


def speed(rounds: list[Round]) -> float:
    """Median events per second."""
    return statistics.median(r.events / r.wall_s for r in rounds)


def ratio(ours: list[Round], others: list[Round]) -> float:
    """Median of how many times as fast as the other's reading of the same round ours was."""
    return statistics.median(other.wall_s / one.wall_s for one, other in zip(ours, others, strict=True))


def measure(
    config: Config, events: int, experiments: int, rounds: int, tell: Tell, advance: Advance = unseen,
    tuned: bool = False,
) -> Rounds:  # fmt: skip
    """Fill topics of our own on the configured broker, read them in turns, remove them again. `advance`: of 1, how much."""
    turns = 1 + rounds
    ours = config.model_copy(update={"prefix": f"bench-{uuid.uuid4().hex[:8]}.", "embedded": True})
    with topics(ours):
        tell(f"writing {events:,} events of {experiments} experiments")
        fill(ours, ours.topic("events"), events, experiments, time.time_ns() // 1000)
        advance(1 / turns)
        topic = ours.topic("events")
        upto = {(topic, p): end for p, end in ends(ours, topic).items()}
        done = Rounds([], [], [])
        for number in range(1, rounds + 1):
            done.bare.append(timed(events, lambda: read_bare(ours, topic, events)))
            done.davy.append(timed(events, lambda: IngestLoop(ours).read_up_to(upto)))
            if tuned:
                done.tuned.append(timed(events, lambda: read_bare(ours, topic, events, READ_SETTINGS)))
            advance((1 + number) / turns)
            tell(
                f"round {number} of {rounds}: bare {speed(done.bare[-1:]):,.0f}, Davy {speed(done.davy[-1:]):,.0f} events/s"
            )
    return done


def timed(events: int, work: Callable[[], object]) -> Round:
    """What the work cost this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Round(events, time.perf_counter() - wall, time.process_time() - cpu)


def read_bare(config: Config, topic: str, events: int, settings: Settings = UNTUNED) -> int:
    """Messages in batches, and nothing done with them; how many there were."""
    consumer = kafka.consumer(config, f"{config.prefix}bare", **settings)
    consumer.assign([TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
    seen = 0
    while seen < events:
        seen += sum(message.error() is None for message in consumer.consume(FETCH_MAX, FETCH_WAIT_S))
    consumer.close()
    return seen


def fill(config: Config, topic: str, events: int, experiments: int, end_us: int, frame: Frame = encode) -> None:
    """Seeded events with 12 filled fields, spread over the partitions; Kafka's timestamps are the events'."""
    producer = kafka.producer(config, **FILL_SETTINGS)
    for batch, stamps_ms, partitions in rows(events, experiments, end_us):
        values = frame(batch).to_pylist()
        for value, stamp, partition in zip(values, stamps_ms, partitions, strict=True):
            produce(producer, topic, value, partition, stamp)
    if producer.flush(FLUSH_S):
        raise InfrastructureError(f"the broker did not take all events within {FLUSH_S:.0f} s")


def rows(events: int, experiments: int, end_us: int) -> Iterator[tuple[pa.RecordBatch, list[int], list[int]]]:
    """Batches of events with their Kafka timestamps (milliseconds) and partitions, in order of time."""
    random = np.random.default_rng(20261124)
    names = np.array([f"exp-{i:04d}" for i in range(experiments)])
    services = np.array([f"service-{i % 40:02d}" for i in range(experiments)])
    for start in range(0, events, FILL_ROWS):
        n = min(FILL_ROWS, events - start)
        stamp_us = end_us - (events - start - np.arange(n)) * 1_000_000 // RATE
        which, arm = random.integers(0, experiments, n), random.integers(0, 2, n)
        duration = random.lognormal(10.5, 0.6, n).astype(np.int64)
        filled = {
            "timestamp": pa.array(stamp_us, pa.timestamp("us")),
            "service": pa.array(services[which]), "environment": pa.array(np.full(n, "production")),
            "version": pa.array(np.array(["2.3.1", "2.4.0"])[arm]), "experiment_id": pa.array(names[which]),
            "variant": pa.array(np.array(["control", "canary"])[arm]),
            "unit_id": pa.array(np.char.mod("u%06d", random.integers(0, UNITS, n))),
            "instance": pa.array(np.char.mod("pod-%d", random.integers(0, 8, n))),
            "endpoint": pa.array(np.array(["/cart", "/pay", "/search", "/home"])[random.integers(0, 4, n)]),
            "status": pa.array(np.where(random.random(n) < 0.01, 500, 200), pa.int32()),
            "duration_us": pa.array(duration), "cpu_us": pa.array(duration // 5 + 100),
            "sample_rate": pa.array(np.ones(n)),
        }  # fmt: skip
        fields: list[pa.Field] = list(EVENT_SCHEMA)
        columns = [filled[f.name] if f.name in filled else pa.nulls(n, f.type) for f in fields]
        batch = pa.RecordBatch.from_arrays(columns, schema=EVENT_SCHEMA)
        yield batch, (stamp_us // 1000).tolist(), random.integers(0, PARTITIONS, n).tolist()


def produce(
    producer: Producer, topic: str, value: bytes, partition: int, stamp_ms: int, headers: Headers | None = None
) -> None:  # fmt: skip
    """Queue one record, waiting for room."""
    while True:
        try:
            producer.produce(topic, value, partition=partition, timestamp=stamp_ms, headers=headers)
            return
        except BufferError:
            producer.poll(FETCH_WAIT_S)


def ends(config: Config, topic: str) -> dict[int, int]:
    """End offset of each of the topic's partitions."""
    consumer = kafka.consumer(config, f"{config.prefix}ends")
    found = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), ADMIN_S)[1] for p in range(PARTITIONS)}
    consumer.close()
    return found


@contextmanager
def topics(config: Config) -> Generator[None]:
    """Davy's topics under a prefix of their own, there while the context is open."""
    ensure_topics(config)
    try:
        yield
    finally:
        client = kafka.admin(config)
        ours = [name for name in client.list_topics(timeout=ADMIN_S).topics if name.startswith(config.prefix)]
        ended = cast(Futures, client.delete_topics(ours, request_timeout=ADMIN_S))  # pyright: ignore[reportUnknownMemberType]
        for future in ended.values():
            try:
                future.result()
            except KafkaException:  # the embedded broker forgets them anyway
                continue
