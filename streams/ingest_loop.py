"""Ingest's shell: a reader that fetches, and the loop that decodes, counts, sends and commits, in one thread.

The reader owns the consumer: everything that moves its position (assignment, seeks) happens there and is announced in the
same queue as the records, so that the loop knows what was fetched before and what after. The loop owns the protocol's
state (`streams.ingest`) and the producer.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from prometheus_client import Counter, Gauge

from schemas.config import Config
from schemas.errors import InfrastructureError, UserError
from streams import kafka
from streams.aggregate import Rejected
from streams.clock import Clock
from streams.formats import decoders
from streams.ingest import Ingest, Output, Reread, Restart, Run, Send, Source, Token
from streams.layout import Layout
from streams.membership import member
from streams.standing import HERE
from streams.topics import ensure_topics, topic_names
from streams.warm import warm
from streams.without_pandas import keep_out

Ints = npt.NDArray[np.int64]
FETCH_MAX = 2_000
"""Larger batches fall out of the processor's cache before they are used: 0.8 us a message here, 1.8 with 50,000."""
FETCH_WAIT_S = 0.1
TICK_S = 0.5
TELL_SHARE = 0.2
"""Telling takes at most that share of the time: with very many cells it becomes rarer, never the bottleneck."""
PARTITIONS_REFRESH_S = 30.0
CLOSE_S = 5.0

READ_SETTINGS: dict[str, str | int] = {
    "isolation.level": "read_committed", "queued.min.messages": 200_000, "queued.max.messages.kbytes": 256 << 10,
    "fetch.max.bytes": 64 << 20, "max.partition.fetch.bytes": 8 << 20, "auto.offset.reset": "error",
}  # fmt: skip
"""An offset that retention took is an error, never a silent step to the oldest record that is left. The usual room for
fetched records (64 MiB, 1 MiB a fetch) keeps even a consumer that does nothing at 264,000 events/s here; with this it is
twice as fast and more."""

log = structlog.get_logger("ingest")
EVENTS = Counter("davy_ingest_events_total", "Records with a usable key that were read.")
DEAD = Counter("davy_ingest_deadletters_total", "Records that could not be used.")
EVENT_TIME = Gauge("davy_ingest_event_time_seconds", "Largest event time of the open block.", ["topic", "partition"])


@dataclass(frozen=True, slots=True)
class Assigned:
    source: Source
    offset: int
    lost_from: int | None
    """Where reading should have begun, had retention left it."""


@dataclass(frozen=True, slots=True)
class Revoked:
    source: Source


@dataclass(frozen=True, slots=True)
class Sought:
    source: Source
    offset: int


@dataclass(frozen=True, slots=True)
class Commit:
    places: list[TopicPartition]


Item = list[Message] | Assigned | Revoked | Sought


class Reader:
    """Fetches batches, one each time nothing waits, and carries out seeks, restarts and commits.

    It has no thread of its own: the library's threads fetch ahead, and message objects are cheapest to use where they were
    just made. A thread that only made them cost half the throughput, in turns for the interpreter lock.
    """

    def __init__(self, config: Config, layout: Layout, starts: Mapping[Source, int] | None) -> None:
        self.config = config
        self.layout = layout
        self.starts = starts
        membership = member(config, "ingest") if starts is None else {}
        self.consumer: Consumer = kafka.consumer(config, f"{config.prefix}ingest", **membership, **READ_SETTINGS)
        self.items: deque[Item] = deque()
        """What happened, in order, and was not handled: assignments, seeks, records."""
        self.requests: deque[Reread | Restart | Commit] = deque()
        self.high_watermarks: dict[Source, int] = {}
        """End of each partition, as far as the broker told."""
        self._next_watch = 0.0

    def once(self) -> None:
        """Do what was asked for, then fetch one batch."""
        self.serve()
        if time.monotonic() >= self._next_watch:
            self._next_watch = time.monotonic() + TICK_S
            self._watch()
        batch = self.consumer.consume(FETCH_MAX, FETCH_WAIT_S)
        if batch:
            self.items.append(batch)

    def begin(self) -> None:
        """Join the group, or take what we were told to read."""
        if self.starts is None:
            on_lost = self._revoked
            self.consumer.subscribe(
                list(self.config.sources), on_assign=self._assigned, on_revoke=self._revoked, on_lost=on_lost
            )
            return
        self.consumer.assign([TopicPartition(*source, offset) for source, offset in self.starts.items()])
        for source, offset in self.starts.items():
            self.items.append(Assigned(source, offset, None))

    def _assigned(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        chosen: list[TopicPartition] = []
        for place in consumer.committed(places, timeout=kafka.BROKER_TIMEOUT_S):
            if place.offset >= 0 and (place.offset % self.layout.block_records or place.metadata != self.layout.digest):
                raise UserError(
                    f"{place.topic}/{place.partition} was committed at {place.offset} under layout "
                    f"{place.metadata or 'unknown'}, not {self.layout.digest}: stop all ingest and begin a new generation "
                    f"of {self.config.topic('deltas')}"
                )
            chosen.append(self._begin_at((place.topic, place.partition), max(place.offset, 0)))
        consumer.incremental_assign(chosen)

    def _revoked(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        for place in places:
            self.items.append(Revoked((place.topic, place.partition)))

    def _begin_at(self, source: Source, wanted: int) -> TopicPartition:
        """Begin the partition at `wanted`, or at the first whole block that retention left; where to read from."""
        low = self._low(source)
        size = self.layout.block_records
        begin, lost_from = (wanted, None) if low <= wanted else (-(-low // size) * size, wanted)
        self.items.append(Assigned(source, begin, lost_from))
        return TopicPartition(*source, min(begin, max(low, wanted)))

    def _low(self, source: Source) -> int:
        return self.consumer.get_watermark_offsets(TopicPartition(*source), kafka.BROKER_TIMEOUT_S)[0]

    def serve(self) -> None:
        """Do what was asked for."""
        while self.requests:
            request = self.requests.popleft()
            if isinstance(request, Commit):
                self._commit(request.places)
                continue
            try:
                self._seek(request)
            except KafkaException as error:
                log.warning("seek failed", topic=request.source[0], partition=request.source[1], error=str(error))

    def _seek(self, request: Reread | Restart) -> None:
        source, offset = request.source, request.offset
        if isinstance(request, Restart) or self._low(source) > offset:
            place = self._begin_at(source, offset)
        else:
            place = TopicPartition(*source, offset)
        self.consumer.seek(place)
        self.items.append(Sought(source, place.offset))

    def _commit(self, places: list[TopicPartition]) -> None:
        try:
            self.consumer.commit(offsets=places, asynchronous=True)
        except KafkaException as error:  # the next one covers it
            log.warning("commit failed", error=str(error))

    def _watch(self) -> None:
        for place in self.consumer.assignment():
            try:
                _, high = self.consumer.get_watermark_offsets(place, cached=True)
            except KafkaException:  # not known yet
                continue
            self.high_watermarks[place.topic, place.partition] = high


class IngestLoop:
    """Decodes what the reader fetched, counts it, sends deltas, commits what is safe.

    With `starts` (offsets by source) it reads those partitions from there, without a group, and commits nothing: to repair,
    to measure, and on the embedded broker, which keeps no commit metadata.
    """

    def __init__(self, config: Config, starts: Mapping[Source, int] | None = None) -> None:
        self.config = config
        if starts is None and config.embedded:
            starts = {(topic, p): 0 for topic in config.sources for p in kafka.partitions(config, topic)}
        self.starts = starts
        self.layout = Layout.of(config)
        self.clock = Clock.of(config)
        self.ingest = Ingest(self.layout)
        self.decoders = decoders(config)
        self.producer: Producer = kafka.producer(config, **{"linger.ms": 20, "queue.buffering.max.messages": 1_000_000})
        self.reader = Reader(config, self.layout, starts)
        self.delta_topic = config.topic("deltas")
        self.dead_topic = config.topic("deadletters")
        self.topic_ids = {name: topic_id for topic_id, name in topic_names(config).items()}
        self.committed: dict[Source, int] = {}
        self._next_tick = self._last_refresh = 0.0
        self._behind: set[Source] = set()
        """Partitions whose end was not reached since they were assigned."""

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; deliver what was sent before leaving."""
        self.refresh_partitions()
        self.reader.begin()
        try:
            while not stop.is_set():
                self.turn()
        finally:
            self.producer.flush(CLOSE_S)
            self._commit()
            self.close()

    def read_up_to(self, ends: Mapping[Source, int]) -> None:
        """Work until all partitions were read up to their ends, and everything sent was acknowledged."""
        self.refresh_partitions()
        self.reader.begin()
        while any(self.ingest.position(source) < end for source, end in ends.items()):
            self.turn()
        self.finish()
        self.close()

    def turn(self) -> None:
        """Fetch if nothing waits, then handle one item."""
        if not self.reader.items:
            self.reader.once()
        self.once()

    def close(self) -> None:
        """Commit what is asked for and leave the group."""
        self.reader.serve()
        self.reader.consumer.close()

    def finish(self) -> None:
        """Tell everything that was counted, and wait until it is acknowledged."""
        self._carry_out(self.ingest.tick(self.clock.now_us()))
        self.producer.flush()

    def once(self) -> None:
        """Handle one item of the reader's, and what is due."""
        item = self.reader.items.popleft() if self.reader.items else None
        match item:
            case Assigned():
                self._assigned(item)
            case Revoked(source):
                self.ingest.revoked(source)
                self.committed.pop(source, None)
                HERE.forget(source)
            case Sought(source, offset):
                self.ingest.sought(source, offset)
            case list():
                self._records(item)
            case None:
                pass
        now = time.monotonic()
        if now >= self._next_tick:
            self._carry_out(self.ingest.tick(self.clock.now_us()))
            self._next_tick = now + max(TICK_S, (time.monotonic() - now) / TELL_SHARE)
            self._commit()
            self._measure()
            if now - self._last_refresh > PARTITIONS_REFRESH_S:
                self.refresh_partitions()
        self.producer.poll(0)

    def _assigned(self, item: Assigned) -> None:
        topic, partition = item.source
        topic_id = self.topic_ids.get(topic, topic)
        self.ingest.assigned(item.source, topic_id, item.offset)
        self._behind.add(item.source)
        log.info("partition assigned", topic=topic, partition=partition, offset=item.offset)
        if item.lost_from is not None:
            self._carry_out(self.ingest.truncated(item.source, item.lost_from))

    # -- records -------------------------------------------------------------------------------------------------

    def _records(self, messages: list[Message]) -> None:
        ends = [message for message in messages if message.error() is not None] if any(map(_error, messages)) else []
        if ends:
            messages = [message for message in messages if message.error() is None]
        if messages:
            self._events(messages)
        for message in ends:
            self._ended(message)

    def _ended(self, message: Message) -> None:
        error, topic, partition, offset = message.error(), message.topic(), message.partition(), message.offset()
        if error is not None:
            kafka.require_alive(error)
        if error is None or topic is None or partition is None:
            return
        if error.code() == KafkaError._PARTITION_EOF and offset is not None:  # pyright: ignore[reportPrivateUsage]
            self._carry_out(self.ingest.ended((topic, partition), offset, self.clock.now_us()))
            if (topic, partition) in self._behind:  # whoever waits for this partition after a crash waits no longer
                self._behind.discard((topic, partition))
                self._next_tick = 0.0
            return
        log.warning("source error", topic=topic, partition=partition, error=str(error))
        if error.code() == KafkaError._AUTO_OFFSET_RESET:  # pyright: ignore[reportPrivateUsage]  # its public name
            self._carry_out(self.ingest.out_of_range((topic, partition)))

    def _events(self, messages: list[Message]) -> None:
        if len(self.decoders) > 1:
            for topic in dict.fromkeys(map(Message.topic, messages)):
                self._events_of(str(topic), [message for message in messages if message.topic() == topic])
        else:
            self._events_of(next(iter(self.decoders)), messages)

    def _events_of(self, topic: str, messages: list[Message]) -> None:
        """Count the rows of some records of one topic."""
        decoder = self.decoders[topic]
        headers = list(map(Message.headers, messages)) if decoder.wants_headers else None
        decoded = decoder.decode(list(map(Message.value, messages)), headers)
        for reject in decoded.rejects:
            self._dead(messages[reject.index], reject.reason)
        dead = np.array([reject.index for reject in decoded.rejects for _ in range(reject.rows)], np.int64)
        now_us = self.clock.now_us()
        for start, end, partition, first, kafka_us in _runs(messages):
            low, high = np.searchsorted(decoded.index, (start, end)).tolist()
            index = decoded.index[low:high] - start
            died = dead[slice(*np.searchsorted(dead, (start, end)))] - start
            run = Run((topic, partition), first, kafka_us, decoded.rows, low, index, died)
            self._carry_out(self.ingest.records(run, now_us), messages[start:end], first)
        EVENTS.inc(len(decoded.index))

    def _dead(self, message: Message, reason: str) -> None:
        DEAD.inc()
        headers: list[tuple[str, str | bytes | None]] = [
            ("davy_topic", str(message.topic())), ("davy_partition", str(message.partition())),
            ("davy_offset", str(message.offset())), ("davy_reason", reason),
        ]  # fmt: skip
        value = message.value()
        if value is not None and len(value) > self.config.limits.message_bytes:
            value = value[: self.config.limits.message_bytes]
            headers.append(("davy_truncated", "true"))
        self._produce(self.dead_topic, value, message.key(), headers=headers)

    # -- what the protocol asks for ------------------------------------------------------------------------------

    def _carry_out(
        self, outputs: Iterable[Output | tuple[int, Rejected]], messages: Sequence[Message] = (), first: int = 0
    ) -> None:
        for output in outputs:
            match output:
                case Send(partition, key, value, token):
                    self._produce(self.delta_topic, value, key.encode(), self._reported(token), partition=partition)
                case Reread() | Restart():
                    log.warning("read again", topic=output.source[0], partition=output.source[1], offset=output.offset)
                    self.reader.requests.append(output)
                case (offset, rejected):
                    self._dead(messages[offset - first], rejected.reason)

    def _reported(self, token: Token) -> Callable[[KafkaError | None, Message], None]:
        def report(error: KafkaError | None, _: Message) -> None:
            restart = self.ingest.delivered(token, error is not None)
            if restart is not None:
                self.ingest.revoked(restart.source)
                log.error("not delivered", topic=restart.source[0], partition=restart.source[1], error=str(error))
                self.reader.requests.append(restart)

        return report

    def _produce(
        self, topic: str, value: bytes | None, key: bytes | str | None,
        on_delivery: Callable[[KafkaError | None, Message], None] | None = None, **place: Any,
    ) -> None:  # fmt: skip
        while True:
            try:
                self.producer.produce(topic, value, key, on_delivery=on_delivery, **place)
                return
            except BufferError:
                self.producer.poll(FETCH_WAIT_S)

    def _commit(self) -> None:
        if self.starts is not None:
            return
        safe = {source: self.ingest.safe_offset(source) for source in self.ingest.tables}
        moved = {source: offset for source, offset in safe.items() if self.committed.get(source) != offset}
        if moved:
            places = [TopicPartition(*source, offset, self.layout.digest) for source, offset in moved.items()]
            self.reader.requests.append(Commit(places))
            self.committed |= moved

    def _measure(self) -> None:
        now_s = time.monotonic()
        HERE.beat(now_s)
        for (topic, partition), table in self.ingest.tables.items():
            high = self.reader.high_watermarks.get((topic, partition), 0)
            table.high_watermark = max(table.high_watermark, high)
            HERE.take((topic, partition), table.position, table.high_watermark, now_s)
            if table.block.max_event_time is not None:
                EVENT_TIME.labels(topic, partition).set(table.block.max_event_time / 1e6)

    def refresh_partitions(self) -> None:
        """Ask how many partitions the sources have: progress says so, since the watermark must wait for all."""
        self._last_refresh = time.monotonic()
        for topic in self.config.sources:
            self.ingest.n_partitions[topic] = max(1, len(kafka.partitions(self.config, topic)))


_error, _second = Message.error, itemgetter(1)


def _runs(messages: list[Message]) -> Iterable[tuple[int, int, int, int, Ints]]:
    """Stretches of consecutive offsets of one topic's partitions: start, end, partition, first offset, Kafka times in us."""
    n = len(messages)
    partitions = np.fromiter(map(Message.partition, messages), np.int64, n)
    offsets = np.fromiter(map(Message.offset, messages), np.int64, n)
    kafka_us = np.fromiter(map(_second, map(Message.timestamp, messages)), np.int64, n) * 1000
    breaks = np.flatnonzero((np.diff(partitions) != 0) | (np.diff(offsets) != 1)) + 1
    borders = [0, *breaks.tolist(), n]
    for start, end in itertools.pairwise(borders):
        yield start, end, int(partitions[start]), int(offsets[start]), kafka_us[start:end]


def prepare() -> None:
    """For a process that has this role alone, before `run`."""
    keep_out()
    warm()


def run(config: Config, stop: threading.Event) -> None:
    """The ingest role: blocks until stopped."""
    kafka.require_broker(config)
    ensure_topics(config)
    for topic in config.sources:
        if not kafka.partitions(config, topic):
            raise InfrastructureError(
                f"there is no topic {topic}; create it, or name another under inputs in davy.yaml"
            )
    loop = IngestLoop(config)
    warm(loop.decoders.values())
    loop.run(stop)
