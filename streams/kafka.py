"""Kafka clients from the configuration: librdkafka's settings pass through untouched, ours are only defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from schemas.config import Config
from schemas.errors import InfrastructureError

BROKER_TIMEOUT_S = 6.0
"""How long a broker may take to answer before we say that it is not there."""

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


def partitions(config: Config, topic: str) -> list[int]:
    """Partitions of a topic, ascending; none where the topic is not there."""
    metadata = admin(config).list_topics(topic, timeout=BROKER_TIMEOUT_S).topics.get(topic)
    return sorted(metadata.partitions) if metadata is not None and metadata.error is None else []
