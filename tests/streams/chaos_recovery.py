"""How long the counts stand still after `kill -9`: until a reader of the delta log sees a range not seen before."""

from __future__ import annotations

import threading
import time

from confluent_kafka import OFFSET_END, Consumer, KafkaException, TopicPartition

from schemas.config import Config
from schemas.delta import Progress, decode_delta
from streams import kafka
from tests.support.system import until

WAIT_S, ADMIN_S = 60.0, 5.0


class Watcher(threading.Thread):
    """Reads the delta log as it grows; `reached` is how far each source partition is told."""

    def __init__(self, config: Config) -> None:
        super().__init__(daemon=True)
        self.reached: dict[int, int] = {}
        self.moved_at: dict[int, float] = {}
        """When it was told of more, last (monotonic seconds)."""
        self.told_us: dict[int, int] = {}
        """When that was sent (UTC microseconds)."""
        self._stopping = threading.Event()
        settings = {"group.id": "watcher", "fetch.wait.max.ms": 10, "auto.offset.reset": "latest"}
        self._consumer = Consumer(dict(config.kafka) | settings)
        topic = config.topic("deltas")
        self._consumer.assign([TopicPartition(topic, p, OFFSET_END) for p in range(config.limits.delta_partitions)])

    def run(self) -> None:
        while not self._stopping.is_set():
            for message in self._consumer.consume(1000, 0.02):
                if message.error() is not None:
                    continue
                delta = decode_delta(message.value() or b"")
                if isinstance(delta, Progress) and delta.upto > self.reached.get(delta.partition, -1):
                    self.reached[delta.partition], self.moved_at[delta.partition] = delta.upto, time.monotonic()
                    self.told_us[delta.partition] = delta.wall_time
        self._consumer.close()

    def stop(self) -> None:
        self._stopping.set()
        self.join()

    def standstill(self, partitions: set[int], since: float) -> tuple[float, float]:
        """Seconds from `since` until the first, and until the last of these partitions was told of more."""
        since_us = time.time_ns() // 1000 - round((time.monotonic() - since) * 1e6)
        before, moved = dict(self.reached), dict[int, float]()

        def all_moved() -> bool:
            for p in partitions:
                if self.reached[p] > before[p] and self.told_us[p] > since_us:  # and not sent by who was killed
                    moved.setdefault(p, self.moved_at[p])
            return len(moved) == len(partitions)

        until(all_moved, WAIT_S, f"partitions {sorted(partitions)} went on; {before} then, {self.reached} now")
        return min(moved.values()) - since, max(moved.values()) - since

    def moving(self, partitions: int) -> bool:
        """Whether all were told of more within the last second."""
        now = time.monotonic()
        return len(self.moved_at) == partitions and all(now - at < 1.0 for at in self.moved_at.values())


def shares(config: Config) -> dict[tuple[str, str], set[int]]:
    """Partitions of ingest's members that have any, by client id and group instance id; none while nobody coordinates."""
    client = kafka.admin(config)
    group = f"{config.prefix}ingest"
    try:
        described = client.describe_consumer_groups([group], request_timeout=ADMIN_S)[group].result()
    except KafkaException:
        return {}
    found: dict[tuple[str, str], set[int]] = {}
    for member in described.members:
        partitions = {place.partition for place in member.assignment.topic_partitions}
        if partitions:
            found[member.client_id, member.group_instance_id] = partitions
    return found
