"""Record batches that no consumer can unpack: broken ones, and those that unpack to more than the client allows (a bomb).

librdkafka gives an error in place of the whole batch and fetches the same batch again, for ever. The error says where the
batch begins; where it ends is found by reading from offsets behind it: as long as they lie in the batch, the same error comes
back.
"""

from __future__ import annotations

import time

import numpy as np
from confluent_kafka import Consumer, KafkaError, TopicPartition

from schemas.config import Config
from schemas.errors import InfrastructureError
from streams import kafka
from streams.ingest import Run
from streams.rows import Rows

CODES = (
    KafkaError._BAD_COMPRESSION,  # pyright: ignore[reportPrivateUsage]  # its public name
    KafkaError._BAD_MSG,  # pyright: ignore[reportPrivateUsage]
)
"""Errors that come in place of a batch."""
TOLD_MAX = 10_000
"""Offsets of a batch that get a dead letter each; of a longer one the rest is told with the last of these."""
POLL_S = 0.05
_SETTINGS: dict[str, str | int] = {
    "isolation.level": "read_committed", "auto.offset.reset": "error", "fetch.wait.max.ms": 10,
    "fetch.error.backoff.ms": 10, "queued.min.messages": 1, "max.partition.fetch.bytes": 1,
}  # fmt: skip


def end_of_batch(config: Config, source: tuple[str, int], begin: int) -> int:
    """The first offset behind the broken batch that holds `begin`; raises `InfrastructureError` if the broker is silent."""
    consumer = kafka.consumer(config, f"{config.prefix}broken", **_SETTINGS)
    try:
        high = consumer.get_watermark_offsets(TopicPartition(*source), kafka.BROKER_TIMEOUT_S)[1]
        inside, reach = begin, 1
        while begin + reach < high and _broken(consumer, source, begin + reach, begin):
            inside, reach = begin + reach, 2 * reach
        behind = min(begin + reach, high)
        while behind - inside > 1:
            middle = (inside + behind) // 2
            if _broken(consumer, source, middle, begin):
                inside = middle
            else:
                behind = middle
        return behind
    finally:
        consumer.close()


def run(source: tuple[str, int], begin: int, end: int) -> Run:
    """Those offsets as records that did not decode."""
    none = np.empty(0, np.int64)
    nothing = Rows.empty(np.empty(0, np.uint8), 0, 0)
    return Run(source, begin, np.zeros(end - begin, np.int64), nothing, 0, none, np.arange(end - begin))


def _broken(consumer: Consumer, source: tuple[str, int], offset: int, begin: int) -> bool:
    """Whether `offset` lies in the broken batch that holds `begin`."""
    consumer.assign([TopicPartition(*source, offset)])
    deadline = time.monotonic() + kafka.BROKER_TIMEOUT_S
    while time.monotonic() < deadline:
        for message in consumer.consume(1, POLL_S):
            error = message.error()
            return error is not None and error.code() in CODES and (message.offset() or 0) <= begin
    raise InfrastructureError(f"the broker gave nothing of {source[0]}/{source[1]} from {offset} on")
