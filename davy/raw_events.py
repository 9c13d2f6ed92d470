"""A sample of the request events on its way from Kafka to the analysts' store (`raw_events` in davy.yaml).

It has a consumer group of its own and comes second, behind the other topics: it reads when these were served, and its lag
delays no window and no verdict. Offsets are committed after the rows are in the store, in the spool, or shed. Records that
cannot be read are counted here; their dead letters are ingest's.
"""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from prometheus_client import Counter

from davy.warehouse import Warehouse
from schemas.config import Config
from streams import broken, kafka
from streams.fetch import WIDE, Failed, Records, Source, fetching
from streams.membership import member
from streams.sinks.columns import Columns, joined
from streams.sinks.events import EventReader, Sample

GROUP = "sink-events"
FLUSH_S = 2.0
"""How long events wait for others, in wall time: few large inserts are cheaper for ClickHouse than many small ones."""
FLUSH_RECORDS = 20_000
"""How many sampled records are held at most."""
BATCH_MAX = 5_000
"""Records of one fetch: so long do the sink's other topics wait at most."""
_SETTINGS: dict[str, str | int] = {"auto.offset.reset": "error", **WIDE}
"""An offset that retention took is told, not passed over."""
_OUT_OF_RANGE = KafkaError._AUTO_OFFSET_RESET  # pyright: ignore[reportPrivateUsage]  # its public name

log = structlog.get_logger("sink")
UNREADABLE = Counter(
    "davy_sink_events_unreadable_total", "Sampled records of which something could not be read.", ["topic"]
)
MISSED = Counter("davy_sink_events_missed_total", "Records that left Kafka before they were looked at.", ["topic"])


class RawEvents:
    """Reads the sources, holds the sampled records for a moment, gives their rows to the warehouse, then commits."""

    def __init__(self, config: Config, warehouse: Warehouse) -> None:
        self.config = config
        self.busy = False
        """Whether there was something to read the last time."""
        self._warehouse = warehouse
        self._reader = EventReader(config)
        self._consumer: Any = kafka.consumer(config, f"{config.prefix}{GROUP}", **_SETTINGS, **member(config, "sink"))
        self._fetch = fetching(self._consumer, self._reader.wants_headers)
        self._held: defaultdict[str, list[Sample]] = defaultdict(list)
        self._count = 0
        self._position: dict[Source, int] = {}
        """Next offset of each partition that was read."""
        self._moved: set[Source] = set()
        """Partitions that were read on since the last commit."""
        self._flushed_at = time.monotonic()

    def begin(self) -> None:
        """Join the group, or take all partitions where the broker keeps no groups worth the name."""
        self._reader.warm()
        topics = list(self.config.sources)
        if self.config.embedded:
            places = [TopicPartition(topic, p, 0) for topic in topics for p in kafka.partitions(self.config, topic)]
            self._fetch.follow(places)
            self._consumer.assign(places)
        else:
            self._consumer.subscribe(topics, on_assign=self._assigned)

    def once(self) -> None:
        """Take what is there, and write what is due."""
        fetched = self._fetch.fetch(BATCH_MAX, 0)
        self.busy = bool(fetched.records)
        for records in fetched.records:
            self._take(records)
        for told in fetched.told:
            if isinstance(told, Failed):
                self._failed(told)
            elif told.offset > self._position.get(told.source, 0):  # offsets without records stand at the end
                self._at(told.source, told.offset)
        old = time.monotonic() - self._flushed_at >= FLUSH_S
        if self._moved and (old or self._count >= FLUSH_RECORDS):
            self.flush()

    def flush(self) -> None:
        """Write what is held, then commit."""
        columns: Columns | None = None
        for samples in self._held.values():
            columns = joined(columns, self._read(Sample.joined(samples)))
        self._held.clear()
        if columns is not None and len(columns):
            self._warehouse.take_raw(columns)
        self._commit()
        self._count, self._flushed_at = 0, time.monotonic()

    def close(self) -> None:
        """Leave the group."""
        self._fetch.close()
        self._consumer.close()

    # -- records -------------------------------------------------------------------------------------------------

    def _take(self, records: Records) -> None:
        for source, behind in records.ends().items():
            self._at(source, behind)
        sample = Sample.of(records, self.config.raw_events.sample)
        if len(sample):
            self._held[records.topic].append(sample)
            self._count += len(sample)

    def _read(self, sample: Sample) -> Columns:
        columns, unreadable = self._reader.read(sample)
        if unreadable:
            partition, offset, why = unreadable[0]
            UNREADABLE.labels(sample.topic).inc(len(unreadable))
            log.warning(
                "unreadable events",
                topic=sample.topic,
                count=len(unreadable),
                partition=partition,
                offset=offset,
                error=why,
            )
        return columns

    # -- where to read -------------------------------------------------------------------------------------------

    def _assigned(self, consumer: Any, places: list[TopicPartition]) -> None:
        chosen: list[TopicPartition] = []
        for place in consumer.committed(places, timeout=kafka.BROKER_TIMEOUT_S):
            source = (place.topic, place.partition)
            self._position[source] = self._from(source, place.offset)
            chosen.append(TopicPartition(*source, self._position[source]))
        self._fetch.follow(chosen)
        consumer.incremental_assign(chosen)

    def _from(self, source: Source, wanted: int) -> int:
        """Where to read from: what is wanted, or the first record that Kafka still has; without a wish all that it has."""
        low = self._consumer.get_watermark_offsets(TopicPartition(*source), kafka.BROKER_TIMEOUT_S)[0]
        if 0 <= wanted < low:
            MISSED.labels(source[0]).inc(low - wanted)
            log.warning(
                "events left Kafka unread", topic=source[0], partition=source[1], offset=wanted, count=low - wanted
            )
        return max(wanted, low)

    def _failed(self, told: Failed) -> None:
        kafka.require_alive(told.error)
        log.warning("source error", source=told.source, error=str(told.error))
        if told.source is None:
            return
        position = self._position.get(told.source, 0)
        if told.error.code() == _OUT_OF_RANGE:
            self._seek(told.source, self._from(told.source, max(told.offset, position)))
        elif told.error.code() in broken.CODES and told.offset >= position:
            end = broken.end_of_batch(self.config, told.source, told.offset)
            UNREADABLE.labels(told.source[0]).inc(end - told.offset)
            self._seek(told.source, end)

    def _seek(self, source: Source, offset: int) -> None:
        try:
            self._consumer.seek(TopicPartition(*source, offset))
        except KafkaException as error:  # another member has it now
            log.warning("seek failed", topic=source[0], partition=source[1], error=str(error))
            return
        self._at(source, offset)

    def _at(self, source: Source, offset: int) -> None:
        self._position[source] = offset
        self._moved.add(source)

    def _commit(self) -> None:
        if self._moved:
            places = [TopicPartition(*source, self._position[source]) for source in sorted(self._moved)]
            try:
                self._consumer.commit(offsets=places, asynchronous=False)
            except KafkaException as error:  # another member has them now; it writes the same rows again
                kafka.require_alive(error.args[0])
                log.warning("offsets not committed", error=str(error))
                self._moved &= {(place.topic, place.partition) for place in self._consumer.assignment()}
                return
        self._moved.clear()
