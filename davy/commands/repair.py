"""`davy repair`: emit the counts of log ranges again."""

from __future__ import annotations

import json
import re
import sys
from typing import Annotated

import typer
from confluent_kafka import TopicPartition

from davy.options import ConfigFile, DataDir, Json, load
from schemas.config import Config
from schemas.errors import UserError
from streams import kafka
from streams.ingest_loop import IngestLoop

_BLOCKS = re.compile(r"(\d{1,12})\.\.(\d{1,12})?")


def repair(partition: int, blocks: str, topic: str | None, config: Config, as_json: bool = False) -> int:
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
    told = {"topic": source[0], "partition": partition, "start": start, "end": end}
    sentence = f"{source[0]}/{partition}: offsets {start} to {end} were counted and emitted again"
    print(json.dumps(told) if as_json else sentence)
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


def command(
    partition: Annotated[int, typer.Option(metavar="P", min=0, help="Of the source topic.")],
    blocks: Annotated[str, typer.Option(metavar="A..B", help="First and last; `A..` means all from A on.")],
    topic: Annotated[str | None, typer.Option(help="Which source, where there are several.")] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Where a verdict's reason says that some are missing. It harms nobody: a range's counts are a pure function of the
    range.

    \b
    Example: davy repair --partition 3 --blocks 12..14

    Exit code: 0; 2 bad range, 4 infrastructure.
    """
    raise typer.Exit(repair(partition, blocks, topic, load(config, data_dir), as_json))
