"""Follow Davy's topics from their beginning: records as they come, and how far ingest is behind.

Partitions are assigned, not subscribed: a group's rebalance costs seconds, and nothing is committed here.
"""

from __future__ import annotations

from collections.abc import Iterator

from confluent_kafka import Message, TopicPartition

from schemas.codec import Malformed, UnknownSchema
from schemas.config import Config
from schemas.decision import Decision
from schemas.delta import Progress, decode_delta
from schemas.verdict import Verdict
from schemas.window import WindowSummary
from streams import kafka

BATCH_MAX = 500
READERS: dict[str, type[Verdict | WindowSummary | Decision]] = {
    "verdicts": Verdict,
    "windows": WindowSummary,
    "decisions": Decision,
}
"""Topics whose records are handed out, by their name without the prefix."""


class Follower:
    """Reads verdicts, windows and decisions; keeps count of progress from the deltas."""

    def __init__(self, config: Config) -> None:
        self._readers = {config.topic(name): record for name, record in READERS.items()}
        self._deltas = config.topic("deltas")
        self._consumer = kafka.consumer(config, f"{config.prefix}follow")
        topics = [*self._readers, self._deltas]
        self._consumer.assign([TopicPartition(t, p, 0) for t in topics for p in kafka.partitions(config, t)])
        self._seen: set[str] = set()
        self._unread: dict[tuple[str, int], int] = {}
        self._dead: dict[tuple[str, int, int], int] = {}

    def poll(self, timeout_s: float) -> Iterator[Verdict | WindowSummary | Decision]:
        """What came within the timeout; a verdict that is repeated comes once."""
        for message in self._consumer.consume(BATCH_MAX, timeout_s):
            value = message.value()
            if message.error() is not None or value is None:
                continue
            try:
                record = self._record(message, value)
            except (Malformed, UnknownSchema):
                continue  # not ours: the sink tells about it
            if isinstance(record, Verdict):
                if record.verdict_id in self._seen:
                    continue
                self._seen.add(record.verdict_id)
            if record is not None:
                yield record

    def _record(self, message: Message, value: bytes) -> Verdict | WindowSummary | Decision | None:
        topic = message.topic() or ""
        if topic in self._readers:
            return self._readers[topic].decode(value)
        delta = decode_delta(value)
        if isinstance(delta, Progress):
            self._unread[delta.topic_id, delta.partition] = max(0, delta.high_watermark - delta.upto)
            block = (delta.topic_id, delta.partition, delta.block)
            self._dead[block] = max(self._dead.get(block, 0), delta.dead)
        return None

    @property
    def lag(self) -> int:
        """Events in the log that ingest has not read, as it says; -1 before it was heard of."""
        return sum(self._unread.values()) if self._unread else -1

    @property
    def dead(self) -> int:
        """Dead letters so far."""
        return sum(self._dead.values())

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()
