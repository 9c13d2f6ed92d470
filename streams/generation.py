"""A new generation of counts: where their meaning changed, all of the source is counted again, into an empty delta log.

Ingest's group and the delta log are deleted and made anew, and what judges saved is declared void. Their epochs stay, so that
readers do not take the next judges for superseded ones. Broken off anywhere, it is done again from its beginning. Nobody may
count or judge meanwhile.
"""

from __future__ import annotations

import json
import time
from typing import Any, cast

from confluent_kafka import KafkaError, KafkaException

from schemas.config import Config
from schemas.errors import InfrastructureError, UserError
from streams import kafka
from streams.membership import SESSION_MS
from streams.topics import Futures, ensure_topics

ROLES = ("ingest", "judge")
LEFT_S = SESSION_MS / 1000 + 7.0
"""Until the broker knows that a member that ended is gone."""
DELETE_TIMEOUT_S = 20.0
POLL_S = 0.25


def renew(config: Config) -> None:
    """Begin it. Raises `UserError` while ingest or a judge runs, `InfrastructureError` where the broker does not do it."""
    for role in ROLES:
        _forget(config, f"{config.prefix}{role}")
    _void(config)
    _delete(config, config.topic("deltas"))
    ensure_topics(config)


def _forget(config: Config, group: str) -> None:
    """Delete a group, once nobody is in it."""
    client, deadline = kafka.admin(config), time.monotonic() + LEFT_S
    while True:
        groups = cast(Futures, client.delete_consumer_groups([group], request_timeout=DELETE_TIMEOUT_S))  # pyright: ignore
        try:
            groups[group].result()
            return
        except KafkaException as error:
            code = error.args[0].code()
            if code == KafkaError.GROUP_ID_NOT_FOUND:
                return
            if code != KafkaError.NON_EMPTY_GROUP:
                raise InfrastructureError(f"the group {group} cannot be deleted: {error.args[0].str()}") from error
        if time.monotonic() > deadline:
            raise UserError(f"somebody is in the group {group}: stop every {group.removeprefix(config.prefix)} first")
        time.sleep(POLL_S)


def _void(config: Config) -> None:
    """The newest manifest of each judge's state again, of no layout: its epoch counts, its chunks do not."""
    topic, manifests = config.topic("state"), dict[bytes, tuple[int, dict[str, Any]]]()
    for message in kafka.to_end(config, topic, "generation"):
        key, value = message.key() or b"", message.value()
        if b"/" in key or value is None:
            continue
        found = json.loads(value)
        if found["epoch"] >= manifests.get(key, (0, {"epoch": 0}))[1]["epoch"]:
            manifests[key] = int(message.partition() or 0), found
    producer, failed = kafka.producer(config), list[str]()
    for key, (partition, manifest) in manifests.items():
        producer.produce(
            topic, json.dumps(manifest | {"layout": "", "chunks": 0}).encode(), key, partition,
            on_delivery=lambda error, _: failed.append(str(error)) if error else None,
        )  # fmt: skip
    if producer.flush(kafka.BROKER_TIMEOUT_S) or failed:
        raise InfrastructureError(f"the broker does not take records of {topic}: see whether it is well")


def _delete(config: Config, topic: str) -> None:
    """A topic, until the broker shows it no more."""
    client = kafka.admin(config)
    if topic in client.list_topics(timeout=kafka.BROKER_TIMEOUT_S).topics:
        deleted = cast(Futures, client.delete_topics([topic], request_timeout=DELETE_TIMEOUT_S))  # pyright: ignore
        try:
            deleted[topic].result()
        except KafkaException as error:
            raise InfrastructureError(f"the topic {topic} cannot be deleted: {error.args[0].str()}") from error
    deadline = time.monotonic() + DELETE_TIMEOUT_S
    while topic in client.list_topics(timeout=kafka.BROKER_TIMEOUT_S).topics:
        if time.monotonic() > deadline:
            raise InfrastructureError(f"the topic {topic} was deleted, but the broker still shows it")
        time.sleep(POLL_S)
