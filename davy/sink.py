"""The sink role: windows, verdicts, decisions, probes and control records into the analysts' store.

Rows are absolute and keyed (`streams.sinks.tables`), so at-least-once is enough: offsets are committed after the rows are in
the store. The embedded broker forgets everything, so there partitions are assigned from their beginning, and what is committed
only says how far the sink is. A store that goes away meanwhile is asked again until it is back; nothing is read until then.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from contextlib import ExitStack

import structlog
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from prometheus_client import Counter, Gauge

from davy.sink_queries import QueryServer
from schemas.codec import Malformed, UnknownSchema
from schemas.config import INTEGER_MEASURES, Config
from schemas.errors import InfrastructureError
from streams import kafka
from streams.membership import member
from streams.sinks import open_store
from streams.sinks.base import Store, StoreUnavailable
from streams.sinks.embedded import EmbeddedStore, Locked
from streams.sinks.rows import READERS
from streams.sinks.tables import Row
from streams.standing import HERE
from streams.topics import ensure_topics

FLUSH_S = 0.5
"""How long rows wait for others, in wall time."""
FLUSH_RECORDS = 20_000
"""How many records are held at most."""
BATCH_MAX = 5_000
POLL_S = 0.1
RETRY_FIRST_S = 0.5
RETRY_MAX_S = 15.0
OPEN_TIMEOUT_S = 20.0
"""How long a `davy query` may have the folder before we give up."""

log = structlog.get_logger("sink")
ROWS = Counter("davy_sink_rows_total", "Rows written to the analysts' store.", ["table"])
UNREADABLE = Counter("davy_sink_unreadable_total", "Records that could not be read.", ["topic"])
FAILURES = Counter("davy_sink_failures_total", "Times the store refused.")
EVENT_TIME = Gauge("davy_sink_event_time_seconds", "End of the newest window in the store.")


class SinkLoop:
    """Reads the topics, holds rows for a moment, writes them, then commits."""

    def __init__(self, config: Config, store: Store) -> None:
        self.config = config
        self.store = store
        self._readers = {config.topic(name): reader for name, reader in READERS.items()}
        self._consumer: Consumer = kafka.consumer(config, f"{config.prefix}sink", **member(config, "sink"))
        self._rows: defaultdict[str, list[Row]] = defaultdict(list)
        self._next: dict[tuple[str, int], int] = {}
        self._held = self._newest_us = 0
        self._flushed_at = time.monotonic()
        self._paused: list[TopicPartition] = []
        self._pause_s, self._retry_at = RETRY_FIRST_S, 0.0

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; what was read is written before it returns, if the store is there."""
        self.begin()
        try:
            while not stop.is_set():
                self.once()
            self._flush_last()
        finally:
            self._consumer.close()

    def begin(self) -> None:
        """Join the group, or take all partitions where the broker keeps no groups worth the name."""
        topics = list(self._readers)
        if self.config.embedded:
            places = [TopicPartition(topic, p, 0) for topic in topics for p in kafka.partitions(self.config, topic)]
            self._consumer.assign(places)
        else:
            self._consumer.subscribe(topics)

    def once(self) -> None:
        """Read, and write what is due. While the store refuses, nothing is read, but the group still hears of us."""
        now_s = time.monotonic()
        HERE.beat(now_s)
        refused = now_s < self._retry_at
        if self._paused and not refused:
            self._consumer.resume(self._paused)
            self._paused = []
        for message in self._consumer.consume(BATCH_MAX, POLL_S):
            self.take(message)
        if refused or not self._due():
            return
        try:
            self.flush()
            self._pause_s = RETRY_FIRST_S
        except StoreUnavailable as error:
            FAILURES.inc()
            log.warning("the store refuses rows; trying again", error=str(error), pause_s=self._pause_s)
            self._paused = self._consumer.assignment()
            self._consumer.pause(self._paused)
            self._retry_at = time.monotonic() + self._pause_s
            self._pause_s = min(2 * self._pause_s, RETRY_MAX_S)

    def take(self, message: Message) -> None:
        """Hold one record's rows; one that cannot be read is counted and passed over."""
        error, topic, partition = message.error(), message.topic(), message.partition()
        offset, value = message.offset(), message.value()
        if error is not None:
            kafka.require_alive(error)
            return
        if topic is None or partition is None or offset is None:
            return
        self._next[topic, partition] = offset + 1
        self._held += 1
        if value is None:
            return
        try:
            found = self._readers[topic](value)
        except (Malformed, UnknownSchema) as error:
            UNREADABLE.labels(topic).inc()
            log.warning("unreadable record", topic=topic, partition=partition, offset=offset, error=str(error))
            return
        for table, rows in found.items():
            self._rows[table] += rows

    def _due(self) -> bool:
        old = time.monotonic() - self._flushed_at >= FLUSH_S
        return bool(self._next) and (old or self._held >= FLUSH_RECORDS)

    def flush(self) -> None:
        """Write what is held, then commit. Raises `StoreUnavailable`, and holds on to what is not written."""
        for table in list(self._rows):
            rows = self._rows[table]
            self.store.insert(table, rows)
            ROWS.labels(table).inc(len(rows))
            if table == "windows" and rows:
                self._newest_us = max(self._newest_us, *(row["end"] for row in rows))
                EVENT_TIME.set(self._newest_us / 1e6)
            del self._rows[table]
        if self._next:
            places = [TopicPartition(topic, partition, offset) for (topic, partition), offset in self._next.items()]
            try:
                self._consumer.commit(offsets=places, asynchronous=False)
            except KafkaException as error:  # another member has them now; it writes the same rows again
                log.warning("offsets not committed", error=str(error))
                ours = {(place.topic, place.partition) for place in self._consumer.assignment()}
                self._next = {place: offset for place, offset in self._next.items() if place in ours}
            else:
                self._next.clear()
        self._held = 0
        self._flushed_at = time.monotonic()

    def _flush_last(self) -> None:
        try:
            self.flush()
        except StoreUnavailable as error:  # not committed: the next start reads the records again
            log.warning("stopped with rows unwritten", error=str(error))


def run(config: Config, stop: threading.Event) -> None:
    """The sink role: blocks until stopped. Raises `InfrastructureError` where broker or store are not
    there."""
    kafka.require_broker(config)
    ensure_topics(config)
    with ExitStack() as stack:
        store = stack.enter_context(_opened(config, stop))
        store.migrate([*INTEGER_MEASURES, *config.measures])
        if isinstance(store, EmbeddedStore):
            stack.enter_context(QueryServer(store, config.data_dir))
        log.info("ready", store="embedded" if config.clickhouse is None else "server")
        SinkLoop(config, store).run(stop)


def _opened(config: Config, stop: threading.Event) -> Store:
    """The store; a query that has the folder just now is waited for."""
    deadline = time.monotonic() + OPEN_TIMEOUT_S
    while True:
        try:
            return open_store(config)
        except Locked as error:
            if time.monotonic() > deadline or stop.wait(POLL_S):
                raise InfrastructureError(str(error)) from error
