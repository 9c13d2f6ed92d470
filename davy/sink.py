"""The sink role: windows, verdicts, decisions, probes and control records into the analysts' store.

Rows are absolute and keyed (`streams.sinks.tables`), so at-least-once is enough: offsets are committed after the rows are in
the store or in the spool. The embedded broker forgets everything, so there partitions are assigned from their beginning, and
what is committed only says how far the sink is. While the store is away, rows go to files on the disk (`davy.spool`) and from
there to the store, oldest first, once it is back. When the spool is full nothing is read any more: the rest waits in Kafka.
Where a sample of the request events is wanted, `davy.raw_events` reads it behind all that.
"""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from davy.held import Held
from davy.raw_events import RawEvents
from davy.sink_queries import QueryServer
from davy.spool import Spool
from davy.warehouse import Warehouse
from schemas.config import Config
from schemas.errors import InfrastructureError
from streams import kafka
from streams.fetch import WIDE, Failed, fetching
from streams.membership import member
from streams.sinks import open_store
from streams.sinks.base import Store
from streams.sinks.embedded import EmbeddedStore, Locked
from streams.sinks.rows import READERS
from streams.standing import HERE
from streams.topics import ensure_topics

FLUSH_S = 0.5
"""How long rows wait for others, in wall time."""
FLUSH_RECORDS = 20_000
"""How many records are held at most."""
BATCH_MAX = 5_000
POLL_S = 0.1
OPEN_TIMEOUT_S = 20.0
"""How long a `davy query` may have the folder before we give up."""

log = structlog.get_logger("sink")


class SinkLoop:
    """Reads the topics, holds rows for a moment, writes them to the store or the spool, then commits."""

    def __init__(self, config: Config, store: Store) -> None:
        self.config = config
        self.warehouse = Warehouse(config, store)
        self._topics = {config.topic(name): name for name in READERS}
        self._consumer: Consumer = kafka.consumer(config, f"{config.prefix}sink", **WIDE, **member(config, "sink"))
        self._fetch = fetching(self._consumer, wants_headers=False)
        self._held = Held(self._topics)
        self._raw = RawEvents(config, self.warehouse) if config.raw_events.sample else None
        self._flushed_at = time.monotonic()
        self._paused: list[TopicPartition] = []

    @property
    def spool(self) -> Spool:
        """What waits on the disk."""
        return self.warehouse.spool

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; what was read is in the store or in the spool before it returns."""
        self.begin()
        self.warehouse.reporter.start()
        try:
            while not stop.is_set():
                self.once()
            if not self.flush():
                log.warning("stopped with rows unwritten; they are read again")
            if self._raw is not None:
                self._raw.flush()
            self.warehouse.finish()
        finally:
            self.warehouse.reporter.stop()
            self.close()

    def close(self) -> None:
        """Leave the group."""
        if self._raw is not None:
            self._raw.close()
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
        if self._raw is not None:
            self._raw.begin()

    def once(self) -> None:
        """Read, and write what is due. While neither store nor spool takes it, we stay in the group without reading."""
        HERE.beat(time.monotonic())
        fetched = self._fetch.fetch(BATCH_MAX, 0 if self._raw is not None and self._raw.busy else POLL_S)
        for told in fetched.told:
            if isinstance(told, Failed):
                kafka.require_alive(told.error)
        for records in fetched.records:
            self._held.take(records)
        self.warehouse.serve()
        if self._due():
            self._read_on(self.flush())
        if self._raw is not None:
            self._raw.once()

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

    def flush(self) -> bool:
        """Write what is held to the store or the spool, then commit. False where neither takes it: it is held on to."""
        self._held.decode()
        taken = self.warehouse.take(self._held.rows)
        if taken:
            self._commit()
            self._held.count = 0
        self._flushed_at = time.monotonic()
        return taken

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
            loop.warehouse.reachable()  # it has its tables before anybody asks
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
