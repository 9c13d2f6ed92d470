"""Whether a Kafka answers, and has enough brokers for the replicas that are asked for."""

from __future__ import annotations

import time
from collections.abc import Iterator

from confluent_kafka import KafkaException

from davy.checks.base import Check, Finding, ok, problem, warning
from schemas.config import Config
from streams import kafka

SLOW_S = 1.0
"""A broker that takes longer to say what topics it has is slow."""


def look(config: Config) -> Iterator[Finding]:
    """An answer, its delay, the number of brokers."""
    servers = config.kafka.get("bootstrap.servers", "")
    begun = time.monotonic()
    try:
        metadata = kafka.admin(config).list_topics(timeout=kafka.BROKER_TIMEOUT_S)
    except KafkaException as error:
        yield problem(
            f"no Kafka broker answers at {servers or 'no address'}: {error.args[0].str()}",
            "start it, or set kafka: bootstrap.servers in davy.yaml",
        )
        return
    took_s = time.monotonic() - begun
    brokers = len(metadata.brokers)
    yield ok(f"{servers} answers in {1000 * took_s:.0f} ms, brokers: {brokers}")
    if took_s > SLOW_S:
        yield warning(f"the broker took {took_s:.1f} s to list its topics", "look at its load and at the network")
    if brokers < config.limits.replication:
        yield problem(
            f"limits.replication is {config.limits.replication}, but there are {brokers} brokers",
            "add brokers, or lower limits.replication in davy.yaml",
        )


CHECK = Check("broker", look)
