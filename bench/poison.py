"""`python -m bench.poison [EVENTS]`: 1 % of broken records, each told and no other, and their cost, into docs/reliability.md.

Two topics hold the same events; in one of them every hundredth is broken. Ingest reads both in turns. A third topic
holds record batches that are decompression bombs. After the first reading, the dead letters must be exactly what was broken.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bench.document import machine, rewrite
from bench.kafka import own_kafka
from davy.bench import FILL_SETTINGS, FLUSH_S, PARTITIONS, Round, produce, rows, timed
from davy.commands.bench import configured
from schemas.config import Config
from streams import kafka
from streams.encode import encode
from streams.ingest_loop import IngestLoop
from streams.topics import ensure_topics
from tests.support import poison

EVENTS, EXPERIMENTS, ROUNDS = 1_000_000, 200, 5
EVERY = 100
LARGE_EVERY = 10_000
"""One of so many records has 900 KB: one percent of the broken ones."""
BOMB_RECORDS = 10
AMONG = 10_000
FAULTS_SHOWN = 20
DOCUMENT = Path(__file__).parents[1] / "docs" / "reliability.md"
BEGIN = "<!-- poison: written by python -m bench.poison -->"


@dataclass(slots=True)
class Written:
    """What lies on a topic: what must be told of each partition and offset, how often each kind was written."""

    good: int = 0
    expected: dict[tuple[int, int], str] = field(default_factory=dict[tuple[int, int], str])
    kinds: Counter[str] = field(default_factory=Counter[str])


def write(config: Config, events: int, broken: bool) -> Written:
    """The events, every hundredth of them broken if asked for."""
    ensure_topics(config)
    written, rng, offsets = Written(), random.Random(20261126), [0] * PARTITIONS
    producer, topic = kafka.producer(config, **FILL_SETTINGS), config.topic("events")
    number = 0
    for batch, stamps_ms, partitions in rows(events, EXPERIMENTS, time.time_ns() // 1000):
        for value, stamp, partition in zip(encode(batch).to_pylist(), stamps_ms, partitions, strict=True):
            record = value
            if broken and number % EVERY == 7:
                kind = "large" if number % LARGE_EVERY == 7 else rng.choice(poison.KINDS)
                record, reason = poison.broken(kind, value, rng)
                written.expected[partition, offsets[partition]] = reason
                written.kinds[kind] += 1
            else:
                written.good += 1
            produce(producer, topic, record, partition, stamp)
            offsets[partition] += 1
            number += 1
    producer.flush(FLUSH_S)
    return written


def add_bombs(config: Config, written: Written) -> None:
    """One at the end of every partition."""
    topic = config.topic("events")
    for partition in range(PARTITIONS):
        gone = poison.bomb(config.kafka["bootstrap.servers"], topic, partition, BOMB_RECORDS)
        reason = f"the batch of offsets {gone.start} to {gone.stop - 1} does not unpack"
        written.expected |= {(partition, offset): reason for offset in gone}


def read(config: Config, events: int) -> Round:
    """Ingest reads the whole topic."""
    upto = poison.ends(config)
    return timed(events, lambda: IngestLoop(config).read_up_to(upto))


def wrong(config: Config, written: Written) -> list[str]:
    """What was told or counted otherwise than it was written; the topic was read once since the dead letters were empty."""
    found, expected = poison.counted(config), (written.good, len(written.expected))
    counted = [] if found == expected else [f"counted and dead are {found}, not {expected}"]
    return counted + poison.mismatches(config, written.expected)


def table(
    events: int, written: Written, pairs: list[tuple[Round, Round]], bomb_s: float, faults: int, where: str
) -> str:
    """The figures as Markdown."""
    slower = statistics.median(bad.wall_s / good.wall_s for good, bad in pairs) - 1
    costlier = statistics.median(bad.cpu_s / good.cpu_s for good, bad in pairs) - 1
    lines = [
        f"`python -m bench.poison {events}`, {datetime.now(UTC):%Y-%m-%d}: {events:,} records, every {EVERY}th broken; "
        f"{where}. Dead letters that were missing, wrong, twice, or of a good record: **{faults}**; good records counted: "
        f"{written.good:,} of {written.good:,}.",
        "",
        f"Against the same topic without broken records (medians of {len(pairs)} rounds in turns) reading took "
        f"**{100 * slower:+.1f} %** time and {100 * costlier:+.1f} % CPU. Of {PARTITIONS} record batches that were bombs, "
        f"among {AMONG:,} good records, all {PARTITIONS * BOMB_RECORDS} records were told; a bomb held its partition up for "
        f"{bomb_s:.1f} s, in which the client unpacks it again and again until its end is found.",
        "",
        "| broken how | records |",
        "| :--- | ---: |",
    ]
    return "\n".join(lines + [f"| {kind} | {count:,} |" for kind, count in sorted(written.kinds.items())])


def main() -> int:
    """Measure, then replace the table in the document; the exit code is 1 if anything was told wrongly."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS
    where = machine()
    with own_kafka() as broker:
        base = configured(broker.bootstrap)
        whole, holed = (base.model_copy(update={"prefix": f"{name}.", "embedded": True}) for name in ("whole", "holed"))
        _tell(f"writing {events:,} records twice")
        write(whole, events, broken=False)
        written = write(holed, events, broken=True)
        read(holed, events)
        faults = wrong(holed, written)
        pairs: list[tuple[Round, Round]] = []
        for number in range(1, ROUNDS + 1):
            good, bad = read(whole, events), read(holed, events)
            pairs.append((good, bad))
            _tell(f"round {number} of {ROUNDS}: {good.wall_s:.2f} s without, {bad.wall_s:.2f} s with broken records")
        bombs = base.model_copy(update={"prefix": "bombs.", "embedded": True})
        among = write(bombs, AMONG, broken=False)
        add_bombs(bombs, among)
        bomb_s = read(bombs, AMONG).wall_s / PARTITIONS
        faults += wrong(bombs, among)
    for fault in faults[:FAULTS_SHOWN]:
        print(fault)
    text = table(events, written, pairs, bomb_s, len(faults), where)
    rewrite(BEGIN, text, DOCUMENT)
    print(text)
    return 1 if faults else 0


def _tell(sentence: str) -> None:
    print(f"poison: {sentence}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
