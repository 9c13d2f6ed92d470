"""Davy's topics: which there are, how they are kept, and that they are there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, cast

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import NewTopic  # pyright: ignore[reportPrivateImportUsage]  # its documented place

from schemas.config import Config
from schemas.errors import InfrastructureError
from streams import kafka

CREATE_TIMEOUT_S = 20.0
POLL_S = 0.05

Futures = Mapping[str, Future[Any]]
"""The library does not say of what."""


def wanted(config: Config) -> list[NewTopic]:
    """Every topic as `davy run` creates it. The ledger, the verdicts and control are one partition each: they are small, and
    one order is worth more than speed."""
    limits = config.limits
    forever: Mapping[str, str] = {"cleanup.policy": "delete", "retention.ms": "-1"}
    kept: Mapping[str, str] = {"cleanup.policy": "delete", "retention.ms": str(limits.delta_retention_us // 1000)}
    compacted: Mapping[str, str] = {"cleanup.policy": "compact"}
    table: list[tuple[str, int, Mapping[str, str]]] = [
        ("control", 1, forever),
        (
            "deltas",
            limits.delta_partitions,
            kept | {"max.message.bytes": str(max(2 * limits.message_bytes, 1_048_588))},
        ),
        ("windows", 1, kept),
        ("verdicts", 1, kept),
        ("decisions", 1, forever),
        ("probes", 1, kept),
        ("deadletters", 1, kept),
        ("incidents", 1, kept),
        ("state", 1, compacted),
        ("flags", 1, compacted),
        ("budgets", 1, compacted | {"min.compaction.lag.ms": str(limits.delta_retention_us // 1000)}),
    ]
    topics = [(config.topic(name), count, settings) for name, count, settings in table]
    if config.topic("events") in config.sources:
        topics.append((config.topic("events"), limits.event_partitions, kept))
    return [
        NewTopic(name, num_partitions=count, replication_factor=limits.replication, config=dict(settings))
        for name, count, settings in topics
    ]


def ensure_topics(config: Config) -> None:
    """Create the topics that are missing and wait until the broker shows them; raises `InfrastructureError`."""
    client = kafka.admin(config)
    there = set(client.list_topics(timeout=kafka.BROKER_TIMEOUT_S).topics)
    missing = [topic for topic in wanted(config) if topic.topic not in there]
    if not missing:
        return
    created = cast(Futures, client.create_topics(missing, request_timeout=CREATE_TIMEOUT_S))  # pyright: ignore[reportUnknownMemberType]
    for name, future in created.items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise InfrastructureError(f"the topic {name} cannot be created: {error.args[0].str()}") from error
    deadline = time.monotonic() + CREATE_TIMEOUT_S
    names = {topic.topic: topic.num_partitions for topic in missing}
    while time.monotonic() < deadline:
        shown = client.list_topics(timeout=kafka.BROKER_TIMEOUT_S).topics
        if all(name in shown and len(shown[name].partitions) >= count for name, count in names.items()):
            return
        time.sleep(POLL_S)
    raise InfrastructureError(f"the topics {', '.join(names)} were created, but the broker does not show them")


def topic_names(config: Config) -> dict[str, str]:
    """Name of every source topic by its id: a topic that is deleted and made again is another source."""
    names = list(config.sources)
    client = kafka.admin(config)  # it must outlive its futures
    topics = TopicCollection(names)
    found = cast(Futures, client.describe_topics(topics, request_timeout=CREATE_TIMEOUT_S))  # pyright: ignore[reportUnknownMemberType]
    by_id: dict[str, str] = {}
    for name, future in found.items():
        try:
            by_id[str(future.result().topic_id)] = name
        except KafkaException as error:
            raise InfrastructureError(f"the topic {name} cannot be described: {error.args[0].str()}") from error
    return by_id
