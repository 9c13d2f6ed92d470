"""Where roles stand, as the broker tells it: committed offsets of their groups against the ends of what they read.

So roles on other machines are seen, and frozen or dead ones. Ingest commits whole blocks only; how far it is, it tells with
its progress, which the console hands in. A role that was never seen is not missed, unless there are no verdicts without it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any, cast

import structlog
from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import OffsetSpec  # pyright: ignore[reportPrivateImportUsage]  # its documented place

from schemas.config import Config
from schemas.delta import Progress
from schemas.errors import InfrastructureError
from streams import kafka
from streams.sinks.rows import READERS
from streams.standing import HERE, Place, Standing
from streams.topics import topic_names

ASK_EVERY_S = 1.0
REQUIRED = ("ingest", "judge")
READS: Mapping[str, tuple[str, ...]] = {
    "judge": ("deltas",),
    "rollout": ("control", "verdicts", "probes"),
    "sink": tuple(READERS),
}
"""Topics of each role beside ingest, whose topics are configured."""

log = structlog.get_logger("positions")


class Positions(threading.Thread):
    """Of the roles named, which are here, or of all, wherever they are; asks once a second until `stop` is set."""

    def __init__(self, config: Config, stop: threading.Event, *roles: str) -> None:
        super().__init__(name="positions", daemon=True)
        self.config = config
        topics = {"ingest": tuple(config.sources)}
        topics |= {role: tuple(config.topic(name) for name in names) for role, names in READS.items()}
        self.topics = {role: topics[role] for role in roles or topics}
        limit_s = config.limits.standstill_us / 1e6
        self.standings = {role: Standing(role, limit_s) for role in self.topics}
        self._limit_s = limit_s
        self._here = roles
        self.dead_letters = 0
        """Records in their topic."""
        self._dead_topic = config.topic("deadletters")
        self._halt = stop
        self._answered_s = time.monotonic()
        self._upto: dict[tuple[str, int], int] = {}
        """What ingest told, by topic id and partition."""
        self._names: dict[str, str] = {}

    def progress(self, progress: Progress, now_s: float) -> None:
        """How far ingest is, from the delta log."""
        self.standings["ingest"].beat(now_s)
        place = (progress.topic_id, progress.partition)
        self._upto[place] = max(self._upto.get(place, 0), progress.upto)

    def faults(self) -> dict[str, str | None]:
        """By role that is there or must be: what is wrong with it."""
        now_s = time.monotonic()
        expected = {role: s for role, s in self.standings.items() if s.spoken or role in (self._here or REQUIRED)}
        return {role: standing.fault(now_s) for role, standing in expected.items()}

    def fault(self) -> str | None:
        """What is wrong first; None while the stream moves."""
        if time.monotonic() - self._answered_s > self._limit_s:
            return "no Kafka broker answers"
        return next((fault for fault in self.faults().values() if fault is not None), None)

    def run(self) -> None:
        client = None
        while not self._halt.wait(ASK_EVERY_S):
            if self._here and not HERE.spoken:
                continue  # the role still opens what it needs; loading the embedded store beside other threads crashed
            client = client or kafka.admin(self.config)
            try:
                self._ask(client)
            except (KafkaException, InfrastructureError) as error:
                log.warning("positions not known", error=str(error))
                client = None  # one whose broker was killed may never hear of its groups again

    def _ask(self, client: Any) -> None:
        there = client.list_topics(timeout=kafka.BROKER_TIMEOUT_S).topics
        places = {
            role: [(topic, p) for topic in topics if topic in there for p in there[topic].partitions]
            for role, topics in self.topics.items()
        }
        asked = {role: self._committed(client, role) for role in places}
        dead = [(self._dead_topic, p) for p in there[self._dead_topic].partitions] if self._dead_topic in there else []
        ends = _offsets(client, {place for held in (*places.values(), dead) for place in held}, OffsetSpec.latest())
        self.dead_letters = sum(ends[place] for place in dead)
        now_s = time.monotonic()
        for role, future in asked.items():
            standing = self.standings[role]
            found = {(p.topic, p.partition): p.offset for p in future.result().topic_partitions if p.offset >= 0}
            if role == "ingest":
                found |= self._told()
            elif found or standing.spoken or role in self._here:
                standing.beat(now_s)
            unknown = [place for place in places[role] if place not in found]
            if standing.spoken:
                found = _offsets(client, unknown, OffsetSpec.earliest()) | found
                for place in places[role]:
                    standing.take(place, found[place], ends[place], now_s)
        self._answered_s = now_s

    def _committed(self, client: Any, role: str) -> Future[Any]:
        group = f"{self.config.prefix}{role}"
        asked = client.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group)], request_timeout=kafka.BROKER_TIMEOUT_S
        )
        return asked[group]

    def _told(self) -> dict[Place, int]:
        """What ingest told, by the topics' names; of a topic that was deleted, nothing."""
        told = dict(self._upto)
        if any(topic_id not in self._names for topic_id, _ in told):
            self._names = topic_names(self.config)
            for place in [place for place in told if place[0] not in self._names]:
                del told[place], self._upto[place]
        return {(self._names[topic_id], p): upto for (topic_id, p), upto in told.items()}


def _offsets(client: Any, places: Iterable[Place], spec: OffsetSpec | None) -> dict[Place, int]:
    """The offset of each place that the specification means, for a reader of what is committed."""
    wanted = {TopicPartition(*place): spec for place in places}
    if not wanted:
        return {}
    found = client.list_offsets(
        wanted, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=kafka.BROKER_TIMEOUT_S
    )
    futures = cast("Mapping[TopicPartition, Future[Any]]", found)
    return {(place.topic, place.partition): future.result().offset for place, future in futures.items()}
