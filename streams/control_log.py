"""The control topic as a judge copies it into its delta partitions, so that its order with the data is part of their log.

Copies form a chain: each names the control offset of the one before. A judge applies a copy only where nothing is missing
before it; what is missing is copied again by whoever owns the partition.
"""

from __future__ import annotations

from bisect import bisect_right

from confluent_kafka import Consumer, TopicPartition

from schemas.config import Config
from schemas.delta import ControlCopy
from streams import kafka

BATCH_MAX = 2_000


class ControlLog:
    """Everything that the control topic holds, in order."""

    def __init__(self, config: Config) -> None:
        self._topic = config.topic("control")
        self._consumer: Consumer = kafka.consumer(config, f"{config.prefix}judge-control")
        self._copies: list[ControlCopy] = []

    def begin(self) -> None:
        """From its first record on."""
        self._consumer.assign([TopicPartition(self._topic, 0, 0)])

    def read(self) -> list[ControlCopy]:
        """What came since it was last asked."""
        known = len(self._copies)
        for message in self._consumer.consume(BATCH_MAX, 0):
            offset, value = message.offset(), message.value()
            if message.error() is None and offset is not None and value is not None and offset > self.last:
                self._copies.append(ControlCopy(offset, value, self.last))
        return self._copies[known:]

    @property
    def last(self) -> int:
        """Offset of the newest record; -1 where there is none."""
        return self._copies[-1].control_offset if self._copies else -1

    def after(self, control_offset: int) -> list[ControlCopy]:
        """Everything behind that offset."""
        return self._copies[bisect_right(self._copies, control_offset, key=lambda copy: copy.control_offset) :]

    def close(self) -> None:
        """Leave."""
        self._consumer.close()
