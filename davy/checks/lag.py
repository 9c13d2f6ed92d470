"""Whether ingest, judge and sink keep up: what they say in the log themselves, and what they committed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from confluent_kafka import Consumer, KafkaException, TopicPartition

from davy.checks.base import Check, Finding, ok, problem, seconds
from schemas.codec import Malformed, UnknownSchema
from schemas.config import Config
from schemas.delta import Progress, decode_delta
from streams import kafka
from streams.sinks.rows import READERS
from streams.topics import topic_names

NEWEST = 500
"""Records of the delta log in which reports of progress are looked for."""
SILENCE_MAX_S = 10.0
"""Ingest says how far it is twice a second."""
BEHIND_MAX_S = 30.0
"""A verdict that rests on older data does not count any more: after so long it has expired."""

SAVED_MAX_S = 90.0
"""The judge saves its state every 15 s, more rarely where that is much work."""

Place = tuple[str, int]


def look(config: Config) -> Iterator[Finding]:
    """One finding per role that is behind, or one that none is."""
    consumer = kafka.consumer(config, f"{config.prefix}doctor")
    try:
        found = [*_ingest(config, consumer), *_judge(config), *_sink(config)]
    except KafkaException as error:
        found = [problem(f"the broker does not tell where partitions end: {error}", "look at its log")]
    finally:
        consumer.close()
    yield from found or [ok("ingest, judge and sink keep up")]


def _ingest(config: Config, consumer: Consumer) -> Iterator[Finding]:
    names = topic_names(config)
    upto: dict[Place, int] = {}
    spoke_us = 0
    for message in kafka.to_end(config, config.topic("deltas"), "doctor", last=NEWEST):
        delta = _progress(message.value()) if message.key() == b"progress" else None
        if delta is not None and delta.topic_id in names:
            place = (names[delta.topic_id], delta.partition)
            upto[place] = max(upto.get(place, 0), delta.upto)
            spoke_us = max(spoke_us, delta.wall_time)
    ends = {(topic, p): _end(consumer, topic, p) for topic in config.sources for p in kafka.partitions(config, topic)}
    unread = {place: end - upto.get(place, 0) for place, end in ends.items() if end > upto.get(place, 0)}
    silent_s = time.time() - spoke_us / 1e6
    if not spoke_us:
        if any(ends.values()):
            yield problem("there are events, but ingest never said that it read any", "start `davy run ingest`")
        return
    if config.clock.speed == 1.0 and silent_s > SILENCE_MAX_S:
        yield problem(f"ingest has said nothing for {seconds(silent_s)}", "start `davy run ingest`, or look at its log")
    behind_s = _age_s(config, unread)
    if behind_s > BEHIND_MAX_S:
        yield problem(
            f"ingest is {sum(unread.values()):,} records behind, the oldest {seconds(behind_s)} old",
            "start more `davy run ingest`, up to one per partition, or look for one that is stuck",
        )


def _progress(value: bytes | None) -> Progress | None:
    try:
        delta = decode_delta(value) if value else None
    except (Malformed, UnknownSchema):  # the check of schemas says so
        return None
    return delta if isinstance(delta, Progress) else None


def _end(consumer: Consumer, topic: str, partition: int) -> int:
    return consumer.get_watermark_offsets(TopicPartition(topic, partition), kafka.BROKER_TIMEOUT_S)[1]


def _age_s(config: Config, unread: dict[Place, int]) -> float:
    """Age of the oldest record that was not read, among partitions with such."""
    oldest_s = 0.0
    for (topic, partition), count in unread.items():
        first = next(kafka.to_end(config, topic, "doctor", partition, last=count), None)
        if first is not None:
            oldest_s = max(oldest_s, time.time() - first.timestamp()[1] / 1000)
    return oldest_s


def _judge(config: Config) -> Iterator[Finding]:
    """How old the counts are that its last saved states do not hold yet."""
    saved: dict[int, int] = {}
    for message in kafka.to_end(config, config.topic("state"), "doctor"):
        key, value = message.key() or b"", message.value()
        if key.isdigit() and value:
            saved[int(key)] = int(json.loads(value)["next_offset"])
    topic = config.topic("deltas")
    consumer = kafka.consumer(config, f"{config.prefix}doctor")
    try:
        done = {(topic, p): saved.get(p, 0) for p in kafka.partitions(config, topic)}
        unread = {place: end - at for place, at in done.items() if (end := _end(consumer, *place)) > at}
    finally:
        consumer.close()
    behind_s = _age_s(config, unread)
    if behind_s > SAVED_MAX_S:
        yield problem(
            f"the judge's saved states lack counts that are {seconds(behind_s)} old",
            "start `davy run judge`, or look at its log",
        )


def _sink(config: Config) -> Iterator[Finding]:
    if config.embedded:  # keeps no groups
        return
    reader = kafka.consumer(config, f"{config.prefix}sink")
    try:
        topics = [config.topic(name) for name in READERS]
        places = [TopicPartition(topic, p) for topic in topics for p in kafka.partitions(config, topic)]
        done = {(p.topic, p.partition): max(p.offset, 0) for p in reader.committed(places, kafka.BROKER_TIMEOUT_S)}
        unread = {place: end - at for place, at in done.items() if (end := _end(reader, *place)) > at}
    finally:
        reader.close()
    behind_s = _age_s(config, unread)
    if behind_s > BEHIND_MAX_S:
        yield problem(
            f"the sink is {sum(unread.values()):,} records behind, the oldest {seconds(behind_s)} old",
            "start `davy run sink`, or look at its log: ClickHouse may refuse rows",
        )


CHECK = Check("lag", look, needs=("broker", "topics"))
