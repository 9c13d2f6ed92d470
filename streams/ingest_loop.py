"""Ingest's shell: the loop that decodes what the reader fetched, counts, sends and commits, in one thread.

The reader (`streams.reader`) owns the consumer; the loop owns the protocol's state (`streams.ingest`) and the producer.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import structlog
from confluent_kafka import KafkaError, Message, Producer, TopicPartition
from prometheus_client import Counter, Gauge

from schemas.config import Config
from schemas.errors import InfrastructureError
from streams import broken, kafka
from streams.clock import Clock
from streams.fetch import Ended, Failed, Fetched, Records
from streams.formats import decoders
from streams.ingest import Ingest, Output, Reread, Restart, Run, Send, Source, Token
from streams.layout import Layout
from streams.reader import FETCH_WAIT_S, Assigned, Commit, Reader, Revoked, Sought
from streams.standing import HERE
from streams.topics import ensure_topics, topic_names
from streams.warm import warm
from streams.without_pandas import keep_out

TICK_S = 0.5
TELL_SHARE = 0.2
"""Telling takes at most that share of the time: with very many cells it becomes rarer, never the bottleneck."""
PARTITIONS_REFRESH_S = 30.0
CLOSE_S = 5.0

log = structlog.get_logger("ingest")
EVENTS = Counter("davy_ingest_events_total", "Records with a usable key that were read.")
DEAD = Counter("davy_ingest_deadletters_total", "Records that could not be used.")
EVENT_TIME = Gauge("davy_ingest_event_time_seconds", "Largest event time of the open block.", ["topic", "partition"])


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
        wants_headers = any(decoder.wants_headers for decoder in self.decoders.values())
        self.reader = Reader(config, self.layout, starts, wants_headers)
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
            self.reader.close()

    def read_up_to(self, ends: Mapping[Source, int]) -> None:
        """Work until all partitions were read up to their ends, and everything sent was acknowledged."""
        self.refresh_partitions()
        self.reader.begin()
        while any(self.ingest.position(source) < end for source, end in ends.items()):
            self.turn()
        self.finish()
        self.reader.close()

    def turn(self) -> None:
        """Fetch if nothing waits, then handle one item."""
        if not self.reader.items:
            self.reader.once()
        self.once()

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
            case Fetched():
                self._fetched(item)
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

    def _fetched(self, fetched: Fetched) -> None:
        for records in fetched.records:
            self._records(records)
        for told in fetched.told:
            self._told(told)

    def _told(self, told: Ended | Failed) -> None:
        if isinstance(told, Failed):
            self._failed(told)
            return
        self._carry_out(self.ingest.ended(told.source, told.offset, self.clock.now_us()))
        if told.source in self._behind:  # whoever waits for this partition after a crash waits no longer
            self._behind.discard(told.source)
            self._next_tick = 0.0

    def _failed(self, told: Failed) -> None:
        kafka.require_alive(told.error)
        topic, partition = told.source or (None, None)
        log.warning("source error", topic=topic, partition=partition, error=str(told.error))
        if told.source is not None and told.error.code() in broken.CODES:
            self._broken(told.source, told.offset, told.error.str())
        gone = told.error.code() == KafkaError._AUTO_OFFSET_RESET  # pyright: ignore[reportPrivateUsage]  # its public name
        if gone and told.source is not None:
            self._carry_out(self.ingest.out_of_range(told.source))

    def _broken(self, source: Source, begin: int, error: str) -> None:
        """A batch that does not unpack is as many dead records as it has offsets; reading goes on behind it."""
        if begin != self.ingest.position(source):
            return  # told before
        end = broken.end_of_batch(self.config, source, begin)
        reason = f"the batch of offsets {begin} to {end - 1} does not unpack: {error}"
        log.error("broken batch", topic=source[0], partition=source[1], begin=begin, end=end, error=error)
        for offset in range(begin, min(end, begin + broken.TOLD_MAX)):
            self._bury(source, offset, None, None, reason)
        DEAD.inc(end - begin)
        outputs = self.ingest.records(broken.run(source, begin, end), self.clock.now_us())
        self._carry_out(output for output in outputs if not isinstance(output, tuple))  # no row of it can be rejected
        self.reader.requests.append(Reread(source, end))

    def _records(self, records: Records) -> None:
        """Count the rows of some records of one topic."""
        decoded = self.decoders[records.topic].decode(records.values, records.headers)
        for reject in decoded.rejects:
            self._dead(records, reject.index, reject.reason)
        dead = np.array([reject.index for reject in decoded.rejects for _ in range(reject.rows)], np.int64)
        now_us = self.clock.now_us()
        for start, end in _runs(records):
            low, high = np.searchsorted(decoded.index, (start, end)).tolist()
            index = decoded.index[low:high] - start
            died = dead[slice(*np.searchsorted(dead, (start, end)))] - start
            source, first = (records.topic, int(records.partition[start])), int(records.offset[start])
            run = Run(source, first, records.kafka_us[start:end], decoded.rows, low, index, died)
            for output in self.ingest.records(run, now_us):
                if isinstance(output, tuple):
                    offset, rejected = output
                    self._dead(records, start + offset - first, rejected.reason)
                else:
                    self._carry_out([output])
        EVENTS.inc(len(decoded.index))

    def _dead(self, records: Records, i: int, reason: str) -> None:
        DEAD.inc()
        source = (records.topic, int(records.partition[i]))
        self._bury(source, int(records.offset[i]), records.values[i], records.key(i), reason)

    def _bury(self, source: Source, offset: int, value: bytes | None, key: bytes | None, reason: str) -> None:
        headers: list[tuple[str, str | bytes | None]] = [
            ("davy_topic", source[0]), ("davy_partition", str(source[1])), ("davy_offset", str(offset)),
            ("davy_reason", reason),
        ]  # fmt: skip
        if value is not None and len(value) > self.config.limits.message_bytes:
            value = value[: self.config.limits.message_bytes]
            headers.append(("davy_truncated", "true"))
        self._produce(self.dead_topic, value, key, headers=headers)

    # -- what the protocol asks for ------------------------------------------------------------------------------

    def _carry_out(self, outputs: Iterable[Output]) -> None:
        for output in outputs:
            match output:
                case Send(partition, key, value, token):
                    self._produce(self.delta_topic, value, key.encode(), self._reported(token), partition=partition)
                case Reread() | Restart():
                    log.warning("read again", topic=output.source[0], partition=output.source[1], offset=output.offset)
                    self.reader.requests.append(output)

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


def _runs(records: Records) -> Iterable[tuple[int, int]]:
    """Stretches of consecutive offsets of one partition: start and end in the batch."""
    breaks = np.flatnonzero((np.diff(records.partition) != 0) | (np.diff(records.offset) != 1)) + 1
    return itertools.pairwise([0, *breaks.tolist(), len(records)])


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
