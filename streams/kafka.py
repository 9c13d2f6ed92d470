"""Kafka clients from the configuration: librdkafka's settings pass through untouched, ours are only defaults."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.config import Config
from schemas.errors import InfrastructureError

BROKER_TIMEOUT_S = 6.0
"""How long a broker may take to answer before we say that it is not there."""
AGAIN_S = 0.2
"""Between two tries within that time."""
SILENCE_S = 10.0
"""How long a broker may say nothing while a topic is read to its end."""
READ_MAX = 2_000
READ_POLL_S = 0.2

Settings = Mapping[str, str | int | float | bool]
_QUIET: Settings = {"log_level": 2}


def settings(config: Config, *more: Settings) -> dict[str, Any]:
    """Defaults, then `more`, then what the user set, which always wins."""
    merged: dict[str, Any] = dict(_QUIET)
    for part in more:
        merged |= part
    return merged | dict(config.kafka)


def producer(config: Config, **more: str | int | float | bool) -> Producer:
    """Idempotent, acknowledged by all replicas, batched for a few milliseconds."""
    ours: Settings = {"enable.idempotence": True, "acks": "all", "linger.ms": 5, "compression.type": "lz4"}
    return Producer(settings(config, ours, more))


def consumer(config: Config, group: str, **more: str | int | float | bool) -> Consumer:
    """Never commits by itself; begins at the earliest record; tells the end of a partition."""
    ours: Settings = {
        "group.id": group, "enable.auto.commit": False, "auto.offset.reset": "earliest", "enable.partition.eof": True,
    }  # fmt: skip
    return Consumer(settings(config, ours, more))


def admin(config: Config) -> AdminClient:
    """An administration client."""
    return AdminClient(settings(config))


def require_broker(config: Config) -> None:
    """Raise `InfrastructureError` unless a broker answers within `BROKER_TIMEOUT_S`."""
    servers = config.kafka.get("bootstrap.servers", "")
    try:
        admin(config).list_topics(timeout=BROKER_TIMEOUT_S)
    except KafkaException as error:
        raise InfrastructureError(
            f"no Kafka broker answers at {servers or 'no address'}: start it, or set kafka: bootstrap.servers in davy.yaml"
        ) from error


def require_alive(error: KafkaError) -> None:
    """Raise `InfrastructureError` for an error after which a client does nothing any more: its process must begin anew."""
    fatal = KafkaError._FATAL  # pyright: ignore[reportPrivateUsage]  # its public name; consumers say it by the code only
    if error.fatal() or error.code() == fatal:
        raise InfrastructureError(f"the Kafka client gave up ({error.str()}): start this process again")


def partitions(config: Config, topic: str) -> list[int]:
    """Partitions of a topic, ascending; none where the topic is not there."""
    metadata = admin(config).list_topics(topic, timeout=BROKER_TIMEOUT_S).topics.get(topic)
    return sorted(metadata.partitions) if metadata is not None and metadata.error is None else []


def to_end(
    config: Config, topic: str, reader: str, partition: int | None = None, last: int | None = None
) -> Iterator[Message]:
    """The records of a topic, or of one of its partitions, from the beginning (or the `last` so many offsets of each
    partition) to where each partition ends now, and perhaps some that came meanwhile; `reader` names the consumer's group.
    Raises `InfrastructureError` when the broker is silent."""
    wanted = [p for p in partitions(config, topic) if partition in (None, p)]
    if not wanted:
        return
    source = consumer(config, f"{config.prefix}{reader}", **{"fetch.wait.max.ms": 20})
    try:
        ends = {p: end(source, topic, p) for p in wanted}
        begins = {p: 0 if last is None else max(0, end - last) for p, end in ends.items() if end}
        ends = {p: ends[p] for p in begins}
        source.assign([TopicPartition(topic, p, begin) for p, begin in begins.items()])
        heard, asked = time.monotonic(), set(ends)
        while ends:
            if time.monotonic() - heard > SILENCE_S:
                raise _silent(topic)
            for message in source.consume(READ_MAX, READ_POLL_S):
                heard, error, place = time.monotonic(), message.error(), int(message.partition() or 0)
                if error is None:
                    if (
                        place in asked
                    ):  # the embedded broker counts the last batch as one record; what it fetched tells better
                        asked.remove(place)
                        ends[place] = max(ends.get(place, 0), _fetched(source, topic, place))
                    yield message
                    if int(message.offset() or 0) + 1 >= ends.get(place, 0):
                        ends.pop(place, None)
                elif error.code() == KafkaError._PARTITION_EOF:  # pyright: ignore[reportPrivateUsage]  # its public name
                    ends.pop(place, None)  # told again whenever the partition has grown
    finally:
        source.close()


def end(source: Consumer, topic: str, partition: int) -> int:
    """Offset at which the partition ends now. Raises `InfrastructureError`."""
    deadline = time.monotonic() + BROKER_TIMEOUT_S
    while True:
        try:
            return source.get_watermark_offsets(TopicPartition(topic, partition), BROKER_TIMEOUT_S)[1]
        except KafkaException as error:  # a topic that was just made has no leader yet
            if time.monotonic() >= deadline:
                raise _silent(topic) from error
            time.sleep(AGAIN_S)


def _fetched(source: Consumer, topic: str, partition: int) -> int:
    """Offset at which the partition ended when it was last fetched from."""
    return source.get_watermark_offsets(TopicPartition(topic, partition), cached=True)[1]


def _silent(topic: str) -> InfrastructureError:
    return InfrastructureError(f"the broker does not answer for {topic}: see whether it is well")
