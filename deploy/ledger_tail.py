"""The ledger as the rollout role reads it: all of it at the start, then what is new; and whether the role still leads."""

from __future__ import annotations

import time
from collections.abc import Iterator

import structlog
from confluent_kafka import KafkaError, TopicPartition

from deploy.ledger import Heads
from deploy.subscription import LEDGER
from schemas.codec import Malformed, UnknownSchema
from schemas.config import Config
from schemas.decision import Decision
from schemas.errors import InfrastructureError
from streams import kafka

BATCH_MAX = 1_000
POLL_S = 0.05

log = structlog.get_logger("rollout")


class LedgerTail:
    """Reads the one partition of the ledger, each record once."""

    def __init__(self, config: Config) -> None:
        self.topic = config.topic("decisions")
        self.heads = Heads()
        self._ended = False
        self._consumer = kafka.consumer(config, f"{config.prefix}rollout-ledger", **{"fetch.wait.max.ms": 20})
        self._consumer.assign([TopicPartition(self.topic, 0, 0)])

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()

    def to_end(self) -> Iterator[Decision]:
        """The rollouts' records that hold, from the beginning to the present end. Raises `InfrastructureError`."""
        heard = time.monotonic()
        while not self._ended:
            for decision, holds in self._batch():
                heard = time.monotonic()
                if holds:
                    yield decision
            self._require(heard)

    def leads(self, written: Decision) -> bool:
        """Whether a record, once it was written, holds: nobody else wrote in its place. Raises `InfrastructureError`."""
        begun = time.monotonic()
        while True:
            batch = list(self._batch())
            if any(decision.hash == written.hash for decision, _ in batch):
                return self.heads.head(written.experiment_id) == written.hash
            self._require(begun)

    def stands(self, experiment: str, head: str | None) -> bool:
        """Whether the record with this hash is still the last of its experiment that holds, as far as the broker tells: one
        that does not answer is no reason to leave traffic where it does harm."""
        begun, place = time.monotonic(), TopicPartition(self.topic, 0)
        try:
            end = kafka.end(self._consumer, self.topic, 0)
            while self._consumer.position([place])[0].offset < end:
                list(self._batch())
                self._require(begun)
        except InfrastructureError as error:
            log.warning("not known whether another process leads", error=str(error))
            return True
        return self.heads.head(experiment) == head

    def _batch(self) -> Iterator[tuple[Decision, bool]]:
        """What comes next, and whether it holds."""
        for message in self._consumer.consume(BATCH_MAX, POLL_S):
            error, value = message.error(), message.value()
            if error is not None:
                ended = error.code() == KafkaError._PARTITION_EOF  # pyright: ignore[reportPrivateUsage]  # its public name
                self._ended = self._ended or ended
                continue
            try:
                decision = Decision.decode(value or b"")
            except (Malformed, UnknownSchema):
                continue  # `davy ledger verify` tells about it
            if LEDGER not in decision.details:
                yield decision, self.heads.take(decision.experiment_id, decision)

    def _require(self, since_s: float) -> None:
        if time.monotonic() - since_s > kafka.SILENCE_S:
            raise InfrastructureError(f"the broker does not answer for {self.topic}: see whether it is well")
