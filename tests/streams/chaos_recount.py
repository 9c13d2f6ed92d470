"""What is left on Kafka after the chaos, counted again from the event log in plain Python with a public Avro library."""

from __future__ import annotations

import io
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import fastavro
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from schemas import codec
from schemas.config import Config
from schemas.delta import CellKey, Cells, Progress, decode_delta
from schemas.window import WindowSummary

READ_S = 60
Fate = tuple[str, CellKey | None, bool]
"""counted, late, quarantined or dead; the cell; whether it is an error."""
Counts = tuple[int, int, int, int]
"""Rows, errors, late and quarantined ones."""


@dataclass(slots=True)
class Ledger:
    """What became of the records of one source partition, as the delta log and the dead letters tell it."""

    produced: int = 0
    counted: int = 0
    late: int = 0
    quarantined: int = 0
    dead: int = 0

    @property
    def balanced(self) -> bool:
        return self.produced == self.counted + self.late + self.quarantined + self.dead


@dataclass(slots=True)
class Audit:
    """Findings; all is well if `wrong` is empty."""

    ledgers: dict[int, Ledger] = field(default_factory=dict[int, Ledger])
    identities: int = 0
    """Distinct (partition, block, upto, cell key)."""
    repeated: int = 0
    """Those that were told more than once."""
    conflicts: int = 0
    """Those that were told with two contents."""
    impure: int = 0
    """Contents that are not what the log holds in that range."""
    windows: int = 0
    wrong: list[str] = field(default_factory=list[str])


def read(config: Config, topic: str) -> Iterator[Message]:
    """All records of a topic, partition by partition in order."""
    bootstrap = dict(config.kafka)["bootstrap.servers"]
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "recount", "enable.partition.eof": True})
    partitions = list(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
    open_, deadline = set(partitions), time.monotonic() + READ_S
    while open_:
        assert time.monotonic() < deadline, f"{topic} was not read within {READ_S} s"
        for message in consumer.consume(5000, 0.2):
            error = message.error()
            if error is None:
                deadline = time.monotonic() + READ_S
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:  # pyright: ignore
                open_.discard(int(message.partition() or 0))
    consumer.close()


def fates(config: Config) -> dict[int, list[Fate]]:
    """Of every record, by partition and offset: what DATAFLOW says must become of it."""
    schema = fastavro.parse_schema(codec.document("RequestEvent"))
    limits = config.limits
    found: dict[int, list[Fate]] = defaultdict(list)
    for message in read(config, config.topic("events")):
        log = found[int(message.partition() or 0)]
        assert message.offset() == len(log), "the log has a gap"
        kafka_us = message.timestamp()[1] * 1000
        value = message.value() or b""
        stream = io.BytesIO(value[codec.HEADER_BYTES :])
        try:
            assert value.startswith(codec.MAGIC)
            event: Any = fastavro.schemaless_reader(stream, schema, None)  # pyright: ignore
            assert event["service"]
        except (AssertionError, EOFError):
            log.append(("dead", None, False))
            continue
        event_us = round(event["timestamp"].timestamp() * 1e6)
        if event["duration_us"] < 0 or event_us > kafka_us + limits.future_us:
            fate, event_us = "quarantined", kafka_us
        elif event_us < kafka_us - limits.lateness_us:
            fate, event_us = "late", kafka_us
        else:
            fate = "counted"
        names = ("experiment_id", "service", "environment", "version", "variant")
        labels = tuple(event[name] for name in names)
        window = event_us // limits.window_us * limits.window_us
        key: CellKey = (*labels, tuple(event[name] for name in config.dimensions), window)
        log.append((fate, key, event["status"] >= 500))
    return found


def caught_up(config: Config, ends: dict[int, int], groups: int) -> bool:
    """Whether the delta log says that every partition was read to its end, by so many processes or more."""
    told: Counter[tuple[int, int]] = Counter()
    for message in read(config, config.topic("deltas")):
        delta = decode_delta(message.value() or b"")
        if isinstance(delta, Progress):
            told[delta.partition, delta.upto] += 1
    return all(told[place] >= groups * config.limits.delta_partitions for place in ends.items())


def audit(config: Config, log: dict[int, list[Fate]]) -> Audit:
    """Compare everything that was told with the log; the processes are gone or have caught up."""
    result = Audit()
    said, progress, newest = _said(config, result)
    _recount_ranges(config.limits.block_records, log, said, progress, result)
    _balance(config, log, newest, progress, result)
    return result


Range = tuple[int, int, int]
"""Partition, block and `upto`."""
Said = dict[Range, dict[CellKey, Counts]]


def _said(config: Config, result: Audit) -> tuple[Said, dict[Range, tuple[int, int]], dict[Any, tuple[int, Counts]]]:
    """Cells by range; what was read and dead by range; and every cell at its largest `upto`."""
    said: Said = defaultdict(dict)
    progress: dict[Range, tuple[int, int]] = {}
    progress_by_d: dict[Any, tuple[int, int, int]] = {}
    newest: dict[Any, tuple[int, Counts]] = {}
    contents: dict[Any, int] = {}
    repeated: set[Any] = set()
    for message in read(config, config.topic("deltas")):
        delta = decode_delta(message.value() or b"")
        if isinstance(delta, Progress):
            place = (delta.partition, delta.block, delta.upto)
            progress[place] = (delta.read, delta.dead)
            content = (delta.rows_d, delta.read, delta.dead)
            if progress_by_d.setdefault((message.partition(), *place), content) != content:
                result.conflicts += 1
        elif isinstance(delta, Cells):
            place = (delta.partition, delta.block, delta.upto)
            for cell in delta.cells:
                identity = (*place, cell.key)
                counts = (cell.rows, cell.errors, cell.late, cell.quarantined)
                if identity in contents:
                    repeated.add(identity)
                if contents.setdefault(identity, hash(cell)) != hash(cell):
                    result.conflicts += 1
                said[place][cell.key] = counts
                held = newest.get((*place[:2], cell.key))
                if held is None or held[0] <= delta.upto:
                    newest[*place[:2], cell.key] = (delta.upto, counts)
    result.identities, result.repeated = len(contents), len(repeated)
    if result.conflicts:
        result.wrong.append(f"{result.conflicts} times one identity had two contents")
    return said, progress, newest


def _recount_ranges(
    size: int, log: dict[int, list[Fate]], said: Said, progress: dict[Range, tuple[int, int]], result: Audit
) -> None:
    """Every content that was told against the log's records of its range."""
    ends: dict[tuple[int, int], set[int]] = defaultdict(set)
    for p, k, upto in {*said, *progress}:
        ends[p, k].add(upto)
    for (p, k), uptos in ends.items():
        at, counts, dead = k * size, dict[CellKey, Counts](), 0
        for upto in sorted(uptos):
            for fate, key, error in log[p][at:upto]:
                if key is None:
                    dead += 1
                else:
                    counts[key] = _plus(counts.get(key, (0, 0, 0, 0)), fate, error)
            at = upto
            cells = said.get((p, k, upto), {})
            impure = sum(counts.get(key) != told for key, told in cells.items())
            if (p, k, upto) in progress:
                impure += progress[p, k, upto] != (upto - k * size, dead)
            result.impure += impure
    if result.impure:
        result.wrong.append(f"{result.impure} contents are not what their range of the log holds")


def _plus(counts: Counts, fate: str, error: bool) -> Counts:
    rows, errors, late, quarantined = counts
    if fate == "counted":
        return rows + 1, errors + error, late, quarantined
    return rows, errors, late + (fate == "late"), quarantined + (fate == "quarantined")


def _balance(
    config: Config, log: dict[int, list[Fate]], newest: dict[Any, tuple[int, Counts]],
    progress: dict[Range, tuple[int, int]], result: Audit,
) -> None:  # fmt: skip
    """Produced = counted + late + quarantined + dead, and the dead letters are exactly the records they should be."""
    last: dict[tuple[int, int], tuple[int, int]] = {}
    for (p, k, upto), (_, dead) in progress.items():
        last[p, k] = max(last.get((p, k), (0, 0)), (upto, dead))
    letters: dict[int, set[int]] = defaultdict(set)
    for message in read(config, config.topic("deadletters")):
        headers = dict(message.headers() or [])
        letters[int(headers["davy_partition"] or 0)].add(int(headers["davy_offset"] or 0))
    for p, records in log.items():
        ledger = result.ledgers[p] = Ledger(len(records))
        for (partition, _, _), (_, (rows, _, late, quarantined)) in newest.items():
            if partition == p:
                ledger.counted, ledger.late = ledger.counted + rows, ledger.late + late
                ledger.quarantined += quarantined
        ledger.dead = sum(dead for (partition, _), (_, dead) in last.items() if partition == p)
        if not ledger.balanced:
            result.wrong.append(f"partition {p} does not add up: {ledger}")
        kinds = Counter(fate for fate, _, _ in records)
        recounted = Ledger(len(records), *(kinds[kind] for kind in ("counted", "late", "quarantined", "dead")))
        if ledger != recounted:
            result.wrong.append(f"partition {p}: {ledger}, but the log says {recounted}")
        unusable = {offset for offset, (fate, _, _) in enumerate(records) if fate in ("quarantined", "dead")}
        if letters[p] != unusable:
            result.wrong.append(f"partition {p}: the dead letters are not the unusable records")


def windows(config: Config) -> dict[Any, Counts]:
    """What the judge says of every window, its newest revision."""
    newest: dict[Any, tuple[int, Counts]] = {}
    for message in read(config, config.topic("windows")):
        w = WindowSummary.decode(message.value() or b"")
        key = (w.experiment_id, w.service, w.environment, w.version, w.variant, w.start)
        if key not in newest or newest[key][0] <= w.revision:
            newest[key] = (w.revision, (w.rows, w.errors, w.late, w.quarantined))
    return {key: counts for key, (_, counts) in newest.items()}


def recounted_windows(log: dict[int, list[Fate]]) -> dict[Any, Counts]:
    """What the log says of every window, all partitions and dimensions together."""
    counts: dict[Any, Counts] = {}
    for records in log.values():
        for fate, key, error in records:
            if key is not None:
                window = (*key[:5], key[6])
                counts[window] = _plus(counts.get(window, (0, 0, 0, 0)), fate, error)
    return counts


def differing(told: dict[Any, Counts], recounted: dict[Any, Counts]) -> str:
    """The first few windows that differ, for a person."""
    keys = [key for key in sorted({*told, *recounted}, key=repr) if told.get(key) != recounted.get(key)]
    lines = [{"window": str(key), "told": told.get(key), "log": recounted.get(key)} for key in keys[:5]]
    return f"{len(keys)} windows differ: {json.dumps(lines)}" if keys else ""
