"""The sink role: windows, verdicts, decisions, probes and control records into the analysts' store.

Rows are absolute and keyed (`streams.sinks.tables`), so at-least-once is enough: offsets are committed after the rows are in
the store or in the spool. The embedded broker forgets everything, so there partitions are assigned from their beginning, and
what is committed only says how far the sink is. While the store is away, rows go to files on the disk (`davy.spool`) and from
there to the store, oldest first, once it is back. When the spool is full nothing is read any more: the rest waits in Kafka.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition
from prometheus_client import Counter, Gauge

from davy.held import Held
from davy.reporter import Reporter
from davy.sink_queries import QueryServer
from davy.spool import Spool
from schemas.config import INTEGER_MEASURES, Config
from schemas.errors import InfrastructureError
from streams import kafka
from streams.fetch import WIDE, Failed, fetching
from streams.membership import member, number
from streams.sinks import open_store
from streams.sinks.base import Store, StoreUnavailable
from streams.sinks.columns import Columns, of_rows, span_us
from streams.sinks.embedded import EmbeddedStore, Locked
from streams.sinks.rows import READERS
from streams.sinks.tables import DECISIONS, REPORTS
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
ROLL_UP_S = 30.0
"""How old roll-ups may be."""

log = structlog.get_logger("sink")
ROWS = Counter("davy_sink_rows_total", "Rows written to the analysts' store.", ["table"])
FAILURES = Counter("davy_sink_failures_total", "Times the store refused.")
EVENT_TIME = Gauge("davy_sink_event_time_seconds", "End of the newest window in the store.")
SPOOL_BYTES = Gauge("davy_sink_spool_bytes", "Rows on the disk that wait for the store.")
SPOOL_AGE = Gauge("davy_sink_spool_age_seconds", "How long the oldest of them have waited.")
SPOOL_MAX = Gauge("davy_sink_spool_limit_bytes", "What the spool may take.")


class SinkLoop:
    """Reads the topics, holds rows for a moment, writes them to the store or the spool, then commits."""

    def __init__(self, config: Config, store: Store) -> None:
        self.config = config
        self.store = store
        self.spool = Spool(config.data_dir / "spool" / str(number(config, "sink")), config.limits.spool_bytes)
        self._topics = {config.topic(name): name for name in READERS}
        self._consumer: Consumer = kafka.consumer(config, f"{config.prefix}sink", **WIDE, **member(config, "sink"))
        self._fetch = fetching(self._consumer, wants_headers=False)
        self._held = Held(self._topics)
        self._newest_us = 0
        self._flushed_at = time.monotonic()
        self._prepared = False
        self._retry_at = self._roll_up_at = 0.0
        self._pause_s = RETRY_FIRST_S
        self._paused: list[TopicPartition] = []
        self._full_until, self._full_bytes = 0.0, 0
        """Until when the spool is not asked again, unless it holds fewer bytes than it did when it had no room."""
        self._reporter = Reporter(config)
        self._changed: tuple[int, int] | None = None
        """Starts of windows, [first, last], that the roll-ups do not know yet."""
        SPOOL_MAX.set(config.limits.spool_bytes)

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; what was read is in the store or in the spool before it returns."""
        self.begin()
        self._reporter.start()
        try:
            while not stop.is_set():
                self.once()
            if not self.flush():
                log.warning("stopped with rows unwritten; they are read again")
            self._roll_up_at = 0.0
            if not len(self.spool):
                self._serve_store()
        finally:
            self._reporter.stop()
            self.close()

    def close(self) -> None:
        """Leave the group."""
        self._fetch.close()
        self._consumer.close()

    def begin(self) -> None:
        """Join the group, or take all partitions where the broker keeps no groups worth the name."""
        topics = list(self._topics)
        if self.config.embedded:
            places = [TopicPartition(topic, p, 0) for topic in topics for p in kafka.partitions(self.config, topic)]
            self._fetch.follow(places)
            self._consumer.assign(places)
        else:
            self._consumer.subscribe(topics, on_assign=lambda _, places: self._fetch.follow(places))

    def once(self) -> None:
        """Read, and write what is due. While neither store nor spool takes it, we stay in the group without reading."""
        HERE.beat(time.monotonic())
        fetched = self._fetch.fetch(BATCH_MAX, POLL_S)
        for told in fetched.told:
            if isinstance(told, Failed):
                kafka.require_alive(told.error)
        for records in fetched.records:
            self._held.take(records)
        self._serve_store()
        if self._due():
            self._read_on(self.flush())

    def _read_on(self, taken: bool) -> None:
        """Go on with the log if rows were taken; else stay in the group without reading."""
        if taken and self._paused:
            self._consumer.resume(self._paused)
            self._paused = []
        elif not taken and not self._paused:
            log.warning("the spool is full: nothing is read until the store is back", bytes=self.spool.bytes)
            self._paused = self._consumer.assignment()
            self._consumer.pause(self._paused)

    def _due(self) -> bool:
        old = time.monotonic() - self._flushed_at >= FLUSH_S
        return bool(self._held.next) and (old or (self._held.count >= FLUSH_RECORDS and not self._paused))

    # -- store and spool -----------------------------------------------------------------------------------------

    def flush(self) -> bool:
        """Write what is held to the store, or to the spool while that is away or has older rows; then commit. False where
        neither takes it: it is held on to."""
        self._held.decode()
        if not len(self.spool) and self.reachable():
            for table in list(self._held.rows):
                if not self._insert(table, self._held.rows[table]):
                    break
                del self._held.rows[table]
        if self._held.rows and not self._spooled():
            self._flushed_at = time.monotonic()
            return False
        self._held.rows.clear()
        self._measure()
        self._commit()
        self._held.count = 0
        self._flushed_at = time.monotonic()
        return True

    def _spooled(self) -> bool:
        """Whether the spool took what is held. More than its limit waits until the store is back."""
        now = time.monotonic()
        if now < self._full_until and self.spool.bytes >= self._full_bytes:
            return False
        if self.spool.put(self._held.rows):
            return True
        self._full_until, self._full_bytes = now + RETRY_MAX_S, self.spool.bytes
        return False

    def _serve_store(self) -> None:
        """One file of the spool, and roll-ups where they are due."""
        if not self.reachable():
            return
        found = self.spool.oldest()
        if found is not None:
            path, rows = found
            if all(self._insert(table, some) for table, some in rows.items()):
                self.spool.done(path)
                self._measure()
                if not len(self.spool):
                    log.info("the spool is empty again")
        elif self._reported():
            pass
        elif self._changed is not None and time.monotonic() >= self._roll_up_at:
            first, last = self._changed
            if self._asked(lambda: self.store.roll_up(first, last + 1)):
                self._changed = None
            self._roll_up_at = time.monotonic() + ROLL_UP_S

    def _reported(self) -> bool:
        """Whether a report was stored."""
        if self._reporter.made.empty():
            return False
        row = self._reporter.made.get()
        if not self._insert(REPORTS.name, of_rows(REPORTS, [row])):
            self._reporter.made.put(row)
        return True

    def reachable(self) -> bool:
        """Whether the store is there, as far as we know; it gets its tables when it first is."""
        if time.monotonic() < self._retry_at:
            return False
        return self._prepared or self._asked(self._prepare)

    def _prepare(self) -> None:
        keep_us = {str(table): us for table, us in self.config.retention.items()}
        self.store.migrate([*INTEGER_MEASURES, *self.config.measures], keep_us)
        first = self.store.not_rolled_up_us()  # what a former process stored after its last roll-up
        self._changed = (first, max(first, time.time_ns() // 1000))
        self._prepared = True

    def _insert(self, table: str, columns: Columns) -> bool:
        if not self._asked(lambda: self.store.add(table, columns)):
            return False
        ROWS.labels(table).inc(len(columns))
        if table == DECISIONS.name:
            self._reporter.look()
        if table == "windows":
            first, last = span_us(columns, "start")
            held = self._changed or (first, last)
            self._changed = (min(first, held[0]), max(last, held[1]))
            self._newest_us = max(self._newest_us, span_us(columns, "end")[1])
            EVENT_TIME.set(self._newest_us / 1e6)
        return True

    def _asked(self, what: Callable[[], None]) -> bool:
        """Whether the store did it; if not, it is left alone for a while."""
        try:
            what()
        except StoreUnavailable as error:
            FAILURES.inc()
            log.warning("the store does not answer; rows are kept", error=str(error), pause_s=self._pause_s)
            self._retry_at = time.monotonic() + self._pause_s
            self._pause_s = min(2 * self._pause_s, RETRY_MAX_S)
            HERE.trouble = f"the store takes no rows; they wait in {self.spool.folder}: {error}"
            return False
        self._pause_s, HERE.trouble = RETRY_FIRST_S, None
        return True

    def _measure(self) -> None:
        SPOOL_BYTES.set(self.spool.bytes)
        SPOOL_AGE.set(self.spool.age_s())

    def _commit(self) -> None:
        if self._held.next:
            places = [
                TopicPartition(topic, partition, offset) for (topic, partition), offset in self._held.next.items()
            ]
            try:
                self._consumer.commit(offsets=places, asynchronous=False)
            except KafkaException as error:  # another member has them now; it writes the same rows again
                kafka.require_alive(error.args[0])
                log.warning("offsets not committed", error=str(error))
                ours = {(place.topic, place.partition) for place in self._consumer.assignment()}
                self._held.next = {place: offset for place, offset in self._held.next.items() if place in ours}
                return
        self._held.next.clear()


def run(config: Config, stop: threading.Event) -> None:
    """The sink role: blocks until stopped. Raises `InfrastructureError` where the broker is not there; a store that is not is
    waited for."""
    kafka.require_broker(config)
    ensure_topics(config)
    with ExitStack() as stack:
        store = stack.enter_context(_opened(config, stop))
        loop = SinkLoop(config, store)
        if isinstance(store, EmbeddedStore):
            loop.reachable()  # it has its tables before anybody asks
            stack.enter_context(QueryServer(store, config.data_dir))
        log.info("ready", store="embedded" if config.clickhouse is None else "server")
        loop.run(stop)


def _opened(config: Config, stop: threading.Event) -> Store:
    """The store; a query that has the folder just now is waited for."""
    deadline = time.monotonic() + OPEN_TIMEOUT_S
    while True:
        try:
            return open_store(config)
        except Locked as error:
            if time.monotonic() > deadline or stop.wait(POLL_S):
                raise InfrastructureError(str(error)) from error
