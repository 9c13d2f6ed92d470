"""A Kafka in memory for one thread: logs, groups with static order, producers with delivery reports, and faults.

It speaks the part of confluent-kafka's interface that ingest and judge use, with the library's own `Message`,
`TopicPartition` and errors, so that the production loops run on it unchanged. Everything that happens is decided by one
seeded generator. Any call may end the calling process (`Crash`), as `kill -9` would: what its producer had queued is then
partly in the log, and nobody is told.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

Place = tuple[str, int]
Callback = Callable[[KafkaError | None, Message], None]
OFFSET_INVALID = -1001


class Crash(BaseException):
    """The process was killed; no handler of the code under test may catch it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record; `stamp_ms` is its Kafka timestamp."""

    key: bytes | None
    value: bytes | None
    stamp_ms: int


@dataclass(slots=True)
class Log:
    """One partition; None is an offset without a record (a transaction's marker, a compacted one)."""

    entries: list[Entry | None] = field(default_factory=list[Entry | None])
    low: int = 0

    @property
    def end(self) -> int:
        return len(self.entries)


@dataclass(slots=True)
class Group:
    """Who owns what; the broker refuses commits of partitions that the committer does not own."""

    members: list[SimConsumer] = field(default_factory=list["SimConsumer"])
    owners: dict[Place, SimConsumer] = field(default_factory=dict["Place", "SimConsumer"])
    committed: dict[Place, tuple[int, str | None]] = field(default_factory=dict["Place", tuple[int, "str | None"]])


class SimBroker:
    """All topics and groups; `rates` are the odds of each fault per chance that it has."""

    def __init__(self, seed: int, now_ms: Callable[[], int]) -> None:
        self.random = random.Random(seed)
        self.now_ms = now_ms
        self.logs: dict[Place, Log] = {}
        self.groups: dict[str, Group] = {}
        self.rates: dict[str, float] = {}
        self.survived: dict[str, int] = {}
        """Faults that happened, by name."""
        self.read: dict[Place, int] = {}
        """How far anybody ever read a partition."""

    def happens(self, fault: str) -> bool:
        """Whether a fault happens now; counted."""
        if self.random.random() >= self.rates.get(fault, 0.0):
            return False
        self.survived[fault] = self.survived.get(fault, 0) + 1
        return True

    def create(self, topic: str, partitions: int) -> None:
        """A topic, or more partitions of it."""
        for partition in range(partitions):
            self.logs.setdefault((topic, partition), Log())

    def partitions(self, topic: str) -> list[int]:
        """As the admin client tells them."""
        return sorted(partition for name, partition in self.logs if name == topic)

    def append(self, place: Place, key: bytes | None, value: bytes | None) -> int:
        """One record at the end; its offset."""
        log = self.logs[place]
        log.entries.append(Entry(key, value, self.now_ms()))
        return log.end - 1

    def records(self, topic: str) -> Iterable[tuple[Place, int, Entry]]:
        """Everything in a topic, for the oracle."""
        for place, log in sorted(self.logs.items()):
            if place[0] == topic:
                for offset, entry in enumerate(log.entries):
                    if entry is not None:
                        yield place, offset, entry

    def group(self, name: str) -> Group:
        """The group, empty where it is new."""
        return self.groups.setdefault(name, Group())

    def rebalance(self, name: str) -> None:
        """Give the subscribed partitions to the members anew, at random; members learn of it when they next ask."""
        group = self.group(name)
        topics = {topic for member in group.members for topic in member.topics}
        if not group.members:
            group.owners.clear()
            return
        places = [place for place in sorted(self.logs) if place[0] in topics]
        stays = self.random.random() < 0.5
        group.owners = {
            place: group.owners[place]
            if stays and group.owners.get(place) in group.members
            else self.random.choice(group.members)
            for place in places
        }

    def leave(self, consumer: SimConsumer) -> None:
        """A member is gone, by its own will or by the session's end."""
        group = self.group(consumer.group_id)
        if consumer in group.members:
            group.members.remove(consumer)
            self.rebalance(consumer.group_id)


class SimConsumer:
    """`Consumer`, as far as it is used."""

    def __init__(self, broker: SimBroker, group_id: str) -> None:
        self.broker = broker
        self.group_id = group_id
        self.topics: list[str] = []
        self.positions: dict[Place, int] = {}
        self.held: set[Place] = set()
        """What this member believes to own."""
        self._sure: set[Place] = set()
        """Partitions whose next fetch comes directly after a seek: it has no hole."""
        self._out_of_range: set[Place] = set()
        self._told_end: dict[Place, int] = {}
        self._paused: set[Place] = set()
        self._on_assign: Callable[[Any, list[TopicPartition]], None] | None = None
        self._on_revoke: Callable[[Any, list[TopicPartition]], None] | None = None

    def subscribe(self, topics: list[str], on_assign: Any = None, on_revoke: Any = None, on_lost: Any = None) -> None:
        self.topics, self._on_assign, self._on_revoke = topics, on_assign, on_lost
        self.broker.group(self.group_id).members.append(self)
        self.broker.rebalance(self.group_id)

    def assign(self, places: list[TopicPartition]) -> None:
        self.positions = {(p.topic, p.partition): max(p.offset, 0) for p in places}

    def incremental_assign(self, places: list[TopicPartition]) -> None:
        self.positions |= {(p.topic, p.partition): max(p.offset, 0) for p in places}
        self._out_of_range -= set(self.positions)

    def pause(self, places: list[TopicPartition]) -> None:
        self._paused |= {(p.topic, p.partition) for p in places}

    def resume(self, places: list[TopicPartition]) -> None:
        self._paused -= {(p.topic, p.partition) for p in places}

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition(*place) for place in sorted(self.positions)]

    def committed(self, places: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        self._may_crash()
        known = self.broker.group(self.group_id).committed
        found: list[TopicPartition] = []
        for place in places:
            offset, metadata = known.get((place.topic, place.partition), (OFFSET_INVALID, ""))
            found.append(TopicPartition(place.topic, place.partition, offset, metadata))
        return found

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> None:
        self._may_crash()
        group = self.broker.group(self.group_id)
        for place in offsets:
            if group.owners.get((place.topic, place.partition)) is self:
                group.committed[place.topic, place.partition] = (place.offset, place.metadata or "")
            elif not asynchronous:
                raise KafkaException(KafkaError(KafkaError.ILLEGAL_GENERATION))
        self._may_crash()

    def get_watermark_offsets(self, place: TopicPartition, timeout: float = 0, cached: bool = False) -> tuple[int, int]:
        log = self.broker.logs[place.topic, place.partition]
        return log.low, log.end

    def list_topics(self, topic: str, timeout: float = 0) -> None:
        """Here every topic is known."""

    def seek(self, place: TopicPartition) -> None:
        if (place.topic, place.partition) not in self.positions:
            raise KafkaException(KafkaError(KafkaError._STATE))
        self.positions[place.topic, place.partition] = place.offset
        self._sure.add((place.topic, place.partition))
        self._out_of_range.discard((place.topic, place.partition))
        self._told_end.pop((place.topic, place.partition), None)

    def consume(self, num_messages: int, timeout: float) -> list[Message]:
        self._may_crash()
        if self.topics:
            self._follow_group()
        batch: list[Message] = []
        places = [place for place in self.positions if place not in self._paused]
        self.broker.random.shuffle(places)
        for place in places:
            batch += self._fetch(place, self.broker.random.choice((1, 3, 7, 20, 60)))
        return batch

    def close(self) -> None:
        self.broker.leave(self)

    def _may_crash(self) -> None:
        if self.broker.happens("crash"):
            raise Crash

    def _follow_group(self) -> None:
        owners = self.broker.group(self.group_id).owners
        mine = {place for place, owner in owners.items() if owner is self}
        lost, fresh = sorted(self.held - mine), sorted(mine - self.held)
        self.held = mine
        for place in lost:
            self.positions.pop(place, None)
            self._paused.discard(place)
        if lost and self._on_revoke:
            self._on_revoke(self, [TopicPartition(*place) for place in lost])
        places = [TopicPartition(*place) for place in fresh]
        if fresh and self._on_assign:
            self._on_assign(self, places)
        left = [place for place in places if (place.topic, place.partition) not in self.positions]
        if left:  # what the callback does not assign, the library does
            self.incremental_assign(self.committed(left, 0))

    def _fetch(self, place: Place, many: int) -> list[Message]:
        log, (topic, partition) = self.broker.logs[place], place
        position = self.positions[place]
        if position < log.low:
            if place in self._out_of_range:
                return []
            self._out_of_range.add(place)
            error = KafkaError(KafkaError._AUTO_OFFSET_RESET)
            return [Message(topic=topic, partition=partition, offset=position, error=error)]
        holes = self.group_id.endswith("ingest") and place not in self._sure
        self._sure.discard(place)
        if holes and position < log.end and self.broker.happens("hole"):
            position = min(log.end, position + self.broker.random.randrange(1, 5))  # a fetch that went missing
        batch: list[Message] = []
        while position < log.end and len(batch) < many:
            entry = log.entries[position]
            if entry is not None:
                batch.append(
                    Message(
                        topic=topic, partition=partition, offset=position, key=entry.key, value=entry.value,
                        timestamp=(2, entry.stamp_ms), headers=[], error=None,
                    )
                )  # fmt: skip
            position += 1
        self.positions[place] = position
        self.broker.read[place] = max(self.broker.read.get(place, 0), position)
        if position >= log.end and self._told_end.get(place) != log.end:
            self._told_end[place] = log.end
            end = KafkaError(KafkaError._PARTITION_EOF)
            batch.append(Message(topic=topic, partition=partition, offset=log.end, error=end))
        return batch


class SimProducer:
    """`Producer`, as far as it is used: what is produced waits until the schedule delivers it."""

    def __init__(self, broker: SimBroker, endless: bool) -> None:
        self.broker = broker
        self.endless = endless
        """Messages wait for ever; what the broker then refuses is fatal to the producer, and all that waits fails."""
        self.fatal = False
        self.waiting: dict[Place, deque[tuple[bytes | None, bytes | None, Callback | None]]] = {}
        self.reports: deque[tuple[Callback, Message, KafkaError | None]] = deque()

    def produce(
        self, topic: str, value: bytes | None = None, key: bytes | str | None = None, partition: int = 0,
        on_delivery: Callback | None = None, headers: Any = None,
    ) -> None:  # fmt: skip
        if self.broker.happens("crash"):
            raise Crash
        name = key.encode() if isinstance(key, str) else key
        self.waiting.setdefault((topic, partition), deque()).append((name, value, on_delivery))

    def deliver(self, many: int) -> None:
        """The broker takes up to so many messages of one partition."""
        places = [place for place, queue in self.waiting.items() if queue]
        if not places:
            return
        place = self.broker.random.choice(places)
        for _ in range(min(many, len(self.waiting[place]))):
            key, value, callback = self.waiting[place].popleft()
            failed = self.fatal or self.broker.happens("not delivered")
            self.fatal = failed and self.endless
            offset = -1 if failed else self.broker.append(place, key, value)
            error = failed or self.broker.happens("acknowledgement lost")
            if callback is not None:
                report = Message(topic=place[0], partition=place[1], offset=offset)
                self.reports.append((callback, report, KafkaError(KafkaError._MSG_TIMED_OUT) if error else None))

    def poll(self, timeout: float) -> int:
        if self.broker.happens("crash"):
            raise Crash
        return self._report()

    def flush(self, timeout: float | None = None) -> int:
        while any(self.waiting.values()):
            if self.broker.happens("crash"):
                raise Crash
            self.deliver(1000)
        self._report()
        return 0

    def _report(self) -> int:
        reported = 0
        while self.reports:
            callback, message, error = self.reports.popleft()
            callback(error, message)
            reported += 1
        return reported
