"""`davy repair`: emit log ranges again. It harms nobody, since a range's counts are a pure function of the range."""

from __future__ import annotations

import re
import sys

from confluent_kafka import TopicPartition

from schemas.config import Config
from schemas.errors import UserError
from streams import kafka
from streams.ingest_loop import IngestLoop

_BLOCKS = re.compile(r"(\d{1,12})\.\.(\d{1,12})?")


def repair(partition: int, blocks: str, topic: str | None, config: Config) -> int:
    """Read the blocks of one partition and emit their counts; the exit code is 0."""
    first, last = _range(blocks)
    kafka.require_broker(config)
    source = (_topic(topic, config), partition)
    if partition not in kafka.partitions(config, source[0]):
        raise UserError(f"{source[0]} has no partition {partition}")
    low, high = _ends(source, config)
    size = config.limits.block_records
    start, end = first * size, high if last is None else min((last + 1) * size, high)
    if start >= end:
        raise UserError(f"--blocks {blocks}: {source[0]}/{partition} ends at offset {high}, in block {high // size}")
    if low > start:
        print(f"davy: retention took the offsets below {low}; the judge is told that they are lost", file=sys.stderr)
    IngestLoop(config, {source: start}).read_up_to({source: end})
    print(f"{source[0]}/{partition}: offsets {start} to {end} were counted and emitted again")
    return 0


def _range(blocks: str) -> tuple[int, int | None]:
    found = _BLOCKS.fullmatch(blocks)
    if found is None:
        raise UserError(f"--blocks {blocks}: say FIRST..LAST, like 12..14, or 12.. for all from 12 on")
    first, last = int(found[1]), int(found[2]) if found[2] else None
    if last is not None and last < first:
        raise UserError(f"--blocks {blocks}: the last block lies before the first")
    return first, last


def _topic(topic: str | None, config: Config) -> str:
    sources = list(config.sources)
    if topic is None and len(sources) == 1:
        return sources[0]
    if topic not in sources:
        raise UserError(f"--topic {topic or ''}: say which source: {', '.join(sources)}")
    return topic


def _ends(source: tuple[str, int], config: Config) -> tuple[int, int]:
    consumer = kafka.consumer(config, f"{config.prefix}repair")
    try:
        return consumer.get_watermark_offsets(TopicPartition(*source), kafka.BROKER_TIMEOUT_S)
    finally:
        consumer.close()
