"""Ingest's reader: the consumer, and everything that moves its position.

Assignments and seeks are announced in the same queue as the records, so that the loop knows what was fetched before them and
what after.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from schemas.config import Config
from schemas.errors import UserError
from schemas.frozen import frozen
from streams import kafka
from streams.fetch import WIDE, Fetched, Source, fetching
from streams.ingest import Reread, Restart
from streams.layout import Layout
from streams.membership import member

FETCH_MAX = 2_000
"""Larger batches fall out of the processor's cache before they are used."""
FETCH_WAIT_S = 0.1
WATCH_S = 0.5

READ_SETTINGS: dict[str, str | int] = {
    "isolation.level": "read_committed", "queued.min.messages": 200_000, "queued.max.messages.kbytes": 256 << 10,
    "auto.offset.reset": "error", **WIDE,
}  # fmt: skip
"""An offset that retention took is an error, never a silent step to the oldest record that is left. The usual room for
fetched records (64 MiB, 1 MiB a fetch) keeps even a consumer that does nothing at 264,000 events/s here; with more of it, at
some 740,000, since one that has emptied its queue waits until a second has passed from when it was full."""

log = structlog.get_logger("ingest")


@frozen()
class Assigned:
    source: Source
    offset: int
    lost_from: int | None
    """Where reading should have begun, had retention left it."""


@frozen()
class Revoked:
    source: Source


@frozen()
class Sought:
    source: Source
    offset: int


@frozen()
class Commit:
    places: list[TopicPartition]


Item = Fetched | Assigned | Revoked | Sought


class Reader:
    """Fetches batches, one each time nothing waits, and carries out seeks, restarts and commits.

    It has no thread of its own: the library's threads fetch ahead.
    """

    def __init__(
        self, config: Config, layout: Layout, starts: Mapping[Source, int] | None, wants_headers: bool = False
    ) -> None:
        self.config = config
        self.layout = layout
        self.starts = starts
        membership = member(config, "ingest") if starts is None else {}
        self.consumer: Consumer = kafka.consumer(config, f"{config.prefix}ingest", **membership, **READ_SETTINGS)
        self.fetch = fetching(self.consumer, wants_headers)
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
            self._next_watch = time.monotonic() + WATCH_S
            self._watch()
        fetched = self.fetch.fetch(FETCH_MAX, FETCH_WAIT_S)
        if fetched:
            self.items.append(fetched)

    def begin(self) -> None:
        """Join the group, or take what we were told to read."""
        if self.starts is None:
            on_lost = self._revoked
            self.consumer.subscribe(
                list(self.config.sources), on_assign=self._assigned, on_revoke=self._revoked, on_lost=on_lost
            )
            return
        for topic in {topic for topic, _ in self.starts}:  # else the library looks for it a second later
            self.consumer.list_topics(topic, kafka.BROKER_TIMEOUT_S)
        places = [TopicPartition(*source, offset) for source, offset in self.starts.items()]
        self.fetch.follow(places)
        self.consumer.assign(places)
        for source, offset in self.starts.items():
            self.items.append(Assigned(source, offset, None))

    def _assigned(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        chosen: list[TopicPartition] = []
        for place in consumer.committed(places, timeout=kafka.BROKER_TIMEOUT_S):
            if place.offset >= 0 and (place.offset % self.layout.block_records or place.metadata != self.layout.digest):
                raise UserError(
                    f"{place.topic}/{place.partition} was committed at {place.offset} under layout "
                    f"{place.metadata or 'unknown'}, not {self.layout.digest}: stop every ingest and judge, then begin "
                    "anew with `davy recount`"
                )
            chosen.append(self._begin_at((place.topic, place.partition), max(place.offset, 0)))
        self.fetch.follow(chosen)
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

    def close(self) -> None:
        """Carry out what was asked for, and leave the group."""
        self.serve()
        self.fetch.close()
        self.consumer.close()
