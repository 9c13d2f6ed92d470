"""Everything that Davy's topics say now, as the console's `State`: read from their beginnings to their present ends."""

from __future__ import annotations

import time
from collections.abc import Sequence

from confluent_kafka import KafkaError, TopicPartition

from davy.web.feed import READERS
from davy.web.state import State
from schemas.codec import Malformed, UnknownSchema
from schemas.config import Config
from schemas.errors import InfrastructureError
from streams import kafka

POLL_S = 0.2
SILENCE_S = 10.0
"""How long a broker may say nothing before we give up."""
BATCH_MAX = 2_000


def snapshot(config: Config, topics: Sequence[str] = ("control", "verdicts", "decisions")) -> State:
    """Topics one after the other: verdicts mean something only once their specs are known."""
    kafka.require_broker(config)
    state = State()
    for name in topics:
        _read(config, name, state)
    return state


def _read(config: Config, name: str, state: State) -> None:
    topic = config.topic(name)
    places = [TopicPartition(topic, p, 0) for p in kafka.partitions(config, topic)]
    if not places:
        return
    consumer = kafka.consumer(config, f"{config.prefix}snapshot", **{"fetch.wait.max.ms": 20})
    consumer.assign(places)
    left, heard = len(places), time.monotonic()
    try:
        while left:
            if time.monotonic() - heard > SILENCE_S:
                raise InfrastructureError(f"the broker does not answer for {topic}: see whether it is well")
            for message in consumer.consume(BATCH_MAX, POLL_S):
                heard = time.monotonic()
                error, value = message.error(), message.value()
                if error is not None:
                    left -= error.code() == KafkaError._PARTITION_EOF  # pyright: ignore[reportPrivateUsage]
                elif value is not None:
                    try:
                        state.take(READERS[name].decode(value))
                    except (Malformed, UnknownSchema):
                        continue  # the sink tells about it
    finally:
        consumer.close()
