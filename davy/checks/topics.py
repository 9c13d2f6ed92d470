"""Whether every topic is there and is kept as Davy needs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from confluent_kafka import KafkaException
from confluent_kafka.admin import ConfigResource, ResourceType  # pyright: ignore[reportPrivateImportUsage]

from davy.checks.base import Check, Finding, ok, problem, warning
from schemas.config import Config
from streams import kafka
from streams.topics import CREATE_TIMEOUT_S, Futures, wanted

FREE = ("events",)
"""Topics that are made by others as often as by us: how many partitions they have is their owners' choice."""
FOREVER = -1
CONFIGS = "kafka-configs.sh --alter --entity-type topics"


def look(config: Config) -> Iterator[Finding]:
    """Existence, partitions, replicas, then settings."""
    there = kafka.admin(config).list_topics(timeout=kafka.BROKER_TIMEOUT_S).topics
    ours = {topic.topic: topic for topic in wanted(config)}
    free = {config.topic(name) for name in FREE}
    found: list[Finding] = []
    for name, topic in ours.items():
        if name not in there:
            found.append(problem(f"the topic {name} is missing", "`davy run` creates it; or create it by hand"))
            continue
        count = len(there[name].partitions)
        if name not in free and count != topic.num_partitions:
            found.append(problem(f"{name} has {count} partitions, not {topic.num_partitions}", _recount(config, name)))
        found += _replicas(config, name, there[name])
    for name in config.sources:
        if name not in there and name not in ours:
            found.append(problem(f"the topic {name}, named under inputs, is missing", "create it, or correct inputs"))
    present = [name for name in dict.fromkeys([*ours, *config.sources]) if name in there]
    for name, settings in _settings(config, present).items():
        found += _kept(name, settings, (ours[name].config or {}) if name in ours else {})
    yield from found or [ok(f"all {len(present)} topics are there and kept as they should be")]


def _recount(config: Config, name: str) -> str:
    if name == config.topic("deltas"):
        return "set limits.delta_partitions to what is there; it is fixed once the topic is in use"
    return (
        "delete it while it is empty and let `davy run` create it, or use another prefix: its order needs one partition"
    )


def _replicas(config: Config, name: str, topic: Any) -> Iterator[Finding]:
    partitions = topic.partitions.values()
    if any(part.leader < 0 for part in partitions):
        yield problem(f"{name} has partitions without a leader", "bring the brokers that hold them back")
    behind = sum(len(part.isrs) < len(part.replicas) for part in partitions)
    if behind:
        yield warning(f"{behind} partitions of {name} lack in-sync replicas", "look for a broker that is down or slow")
    fewest = min((len(part.replicas) for part in partitions), default=0)
    if fewest < config.limits.replication:
        yield warning(
            f"{name} has {fewest} replicas, limits.replication is {config.limits.replication}",
            "kafka-reassign-partitions.sh adds replicas",
        )


def _settings(config: Config, names: list[str]) -> dict[str, dict[str, str]]:
    """Settings by topic; nothing of topics whose settings the broker does not tell."""
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    if not resources:
        return {}
    client = kafka.admin(config)  # it must outlive its futures
    told = cast(Futures, client.describe_configs(resources, request_timeout=CREATE_TIMEOUT_S))  # pyright: ignore[reportUnknownMemberType]
    found: dict[str, dict[str, str]] = {}
    for resource, future in told.items():
        try:
            entries = future.result()
        except KafkaException:
            continue
        found[cast(Any, resource).name] = {key: str(entry.value) for key, entry in entries.items()}
    return found


def _kept(name: str, settings: Mapping[str, str], asked: Mapping[str, str]) -> Iterator[Finding]:
    """What differs from what `davy run` would set so that records are lost or refused."""
    alter = f"{CONFIGS} --entity-name {name} --add-config"
    policy, asked_policy = settings.get("cleanup.policy"), asked.get("cleanup.policy", "delete")
    if policy is not None and asked_policy not in policy.split(","):
        yield problem(
            f"{name} has cleanup.policy {policy}, not {asked_policy}", f"{alter} cleanup.policy={asked_policy}"
        )
    elif policy is not None and asked_policy == "delete" and "compact" in policy:
        yield problem(
            f"{name} is compacted: records that are still needed will be removed", f"{alter} cleanup.policy=delete"
        )
    for setting in ("retention.ms", "max.message.bytes"):
        if setting not in asked or setting not in settings:
            continue
        has, wants = int(settings[setting]), int(asked[setting])
        if has != FOREVER and (wants == FOREVER or has < wants):
            yield problem(f"{name} has {setting} {has}, less than {_said(wants)}", f"{alter} {setting}={wants}")


def _said(value: int) -> str:
    return "for ever (-1)" if value == FOREVER else str(value)


CHECK = Check("topics", look, needs=("broker",))
