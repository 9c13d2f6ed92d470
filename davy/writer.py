"""Writes records of control and of flags, and knows that the broker has them.

Its producer stays: to make one and find the broker takes half a second. Several threads may write; each waits for its own.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from threading import Lock

from confluent_kafka import KafkaError, Message, Producer

from schemas.config import Config
from schemas.control import Control
from schemas.errors import InfrastructureError
from schemas.flag import FlagChange
from streams import kafka

DELIVERY_TIMEOUT_S = 10.0
POLL_S = 0.05


class Writer:
    """To the topics of `config`."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._lock = Lock()
        self._producer: Producer | None = None

    def send(self, records: Sequence[Control | FlagChange]) -> None:
        """In order; returns when the broker has them. Raises `InfrastructureError` where it has not taken all in time."""
        producer = self._made()
        answers: list[KafkaError | None] = []

        def answered(error: KafkaError | None, _: Message) -> None:
            answers.append(error)

        for record in records:
            topic, key = ("flags", record.key) if isinstance(record, FlagChange) else ("control", record.experiment_id)
            producer.produce(self.config.topic(topic), record.encode(), key.encode(), on_delivery=answered)
        deadline = time.monotonic() + DELIVERY_TIMEOUT_S
        while len(answers) < len(records) and time.monotonic() < deadline:
            producer.poll(POLL_S)
        failed = len(records) - sum(error is None for error in answers)
        if failed:
            self._end(producer)
            raise InfrastructureError(f"{failed} records were not acknowledged; nothing else was done")

    def _made(self) -> Producer:
        with self._lock:
            self._producer = self._producer or kafka.producer(self.config)
            return self._producer

    def _end(self, producer: Producer) -> None:
        """What was refused must not be written later; a client that gave up does nothing any more."""
        with self._lock:
            if self._producer is producer:
                self._producer = None
        producer.purge()
