"""kafka: a broker tells which brokers and topics there are. `address`: HOST:PORT."""

from __future__ import annotations

import asyncio

from deploy.probes.base import Failed
from schemas.probes import Target


class Kafka:
    """Ask for the cluster's metadata."""

    kind = "kafka"

    async def check(self, target: Target) -> None:
        """See `Probe`."""
        await asyncio.to_thread(_metadata, target)


def _metadata(target: Target) -> None:
    """Blocks; the library ends by itself at the timeout, later than its caller."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    host, port = target.host_and_port(9092)
    client = AdminClient({"bootstrap.servers": f"{host}:{port}", "log_level": 0})
    try:
        found = client.list_topics(timeout=target.timeout_us / 1e6)
    except KafkaException as error:
        raise Failed(f"no metadata: {error.args[0].str()}") from None
    if not found.brokers:
        raise Failed("it knows no broker")


PROBE = Kafka()
