"""What the judge says: messages that wait for ever, in order, and whose failure ends the process.

Whoever goes on from the last saved state says again what the broker did not take, so there must be no newer state by then.
"""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from schemas.config import Config
from schemas.errors import InfrastructureError
from streams import kafka

POLL_S = 0.1
SETTINGS = {"message.timeout.ms": 0}
"""A control record that is overtaken by a later one would wait for a copy to come again."""

Headers = list[tuple[str, str | bytes | None]]


class Outbox:
    """One producer. Everything but `put` raises `InfrastructureError` once the broker has refused a message."""

    def __init__(self, config: Config) -> None:
        self._producer: Producer = kafka.producer(config, **SETTINGS)
        self._refused: KafkaError | None = None

    def put(
        self, topic: str, key: bytes, value: bytes, partition: int | None = None, headers: Headers | None = None,
        on_delivery: Any = None,
    ) -> None:  # fmt: skip
        """Queue a message; waits while the queue is full."""
        place: dict[str, Any] = {} if partition is None else {"partition": partition}
        report = on_delivery or self._reported
        while True:
            try:
                self._producer.produce(topic, value, key, headers=headers or [], on_delivery=report, **place)
                return
            except BufferError:
                self._producer.poll(POLL_S)

    def settle(self, topic: str, key: bytes, value: bytes, partition: int, seconds: float) -> int:
        """Send a message and wait for it: the offset at which it lies."""
        found: list[int] = []

        def reported(error: KafkaError | None, message: Message) -> None:
            self._reported(error, message)
            offset = message.offset()
            if error is None and offset is not None and offset >= 0:
                found.append(offset)

        self.put(topic, key, value, partition, on_delivery=reported)
        if not self.flush(seconds) or not found:
            raise InfrastructureError(
                f"the broker does not say where in {topic}/{partition} a record lies: see whether it is well"
            )
        return found[0]

    def poll(self) -> None:
        """Hear of what was delivered."""
        self._producer.poll(0)
        self._require_taken()

    def flush(self, seconds: float) -> bool:
        """Wait until everything was taken; False where that lasts too long."""
        left = self._producer.flush(seconds)
        self._require_taken()
        return not left

    def close(self, seconds: float) -> None:
        """The last words, whether or not they are heard."""
        self._producer.flush(seconds)

    def _reported(self, error: KafkaError | None, _: Message) -> None:
        self._refused = self._refused or error

    def _require_taken(self) -> None:
        if self._refused is not None:
            raise InfrastructureError(f"the broker did not take what the judge said: {self._refused.str()}")
