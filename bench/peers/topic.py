"""The topics that peers read, what is in them, and reading back what peers wrote."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import NewTopic

from analyzers.histogram import bin_of
from bench.peers.peer import Framing, Window, Windows
from bench.peers.window import ERROR_STATUS, KEY, WINDOW_US
from davy.bench import PARTITIONS, fill, rows
from schemas.config import Config
from streams import kafka
from streams.encode import bodies, encode

BATCH = 10_000
WAIT_S = 0.5
SETTLE_S = 60.0


@dataclass(frozen=True, slots=True)
class Events:
    """Seeded events that end at `end_us`; the same numbers give the same events."""

    events: int
    experiments: int
    end_us: int

    def write(self, config: Config, topic: str, framing: Framing) -> None:
        """Make the topic and fill it."""
        make(config, topic)
        frame = encode if framing == "single-object" else bodies
        fill(config, topic, self.events, self.experiments, self.end_us, frame)

    def recount(self) -> Windows:
        """Its windows, by Arrow's grouping over all rows: nothing of Davy's counting but the bins' borders."""
        columns = ["window", *KEY, "bin"]
        parts: list[pa.Table] = []
        for batch, _, _ in rows(self.events, self.experiments, self.end_us):
            stamps, durations = batch.column("timestamp").cast(pa.int64()).to_numpy(), batch.column("duration_us")
            part = pa.table({
                "window": stamps // WINDOW_US * WINDOW_US,
                **{name: batch.column(name) for name in KEY},
                "bin": bin_of(durations.to_numpy().astype(np.float64)).astype(np.int64),
                "rows": np.ones(len(stamps), np.int64),
                "errors": pc.greater_equal(batch.column("status"), ERROR_STATUS).cast(pa.int64()),
                "total": durations,
            })  # fmt: skip
            parts.append(_grouped(part, columns))
        table = _grouped(pa.concat_tables(parts), columns).to_pylist()
        found: Windows = {}
        for row in table:
            window = found.setdefault((tuple(row[name] for name in KEY), row["window"]), Window(bins={}))
            window.rows += row["rows"]
            window.errors += row["errors"]
            window.total += row["total"]
            window.bins = {**(window.bins or {}), row["bin"]: row["rows"]}
        return found


def _grouped(table: pa.Table, columns: list[str]) -> pa.Table:
    values = ["rows", "errors", "total"]
    return table.group_by(columns).aggregate([(v, "sum") for v in values]).rename_columns([*columns, *values])


def difference(found: Windows | int, expected: Windows) -> str | None:
    """What is wrong with a peer's windows, or None."""
    want = sum(window.rows for window in expected.values())
    if isinstance(found, int):
        return None if found == want else f"it read {found:,} events, {want:,} were written"
    got = sum(window.rows for window in found.values())
    if got != want:
        return f"its windows hold {got:,} rows, {want:,} were written"
    for key in expected.keys() | found.keys():
        ours, theirs = expected.get(key), found.get(key)
        if ours != theirs:
            return f"the window {key} is {theirs}, the recount says {ours}"
    return None


def written(config: Config, topic: str, partition: int | None = None) -> Iterator[tuple[bytes | None, bytes | None]]:
    """Keys and values of all committed records of a topic or of one of its partitions, each partition in order."""
    consumer = kafka.consumer(config, "bench-readback", **{"isolation.level": "read_committed"})
    places = [TopicPartition(topic, p, 0) for p in kafka.partitions(config, topic) if partition in (None, p)]
    consumer.assign(places)
    open_ends = {place.partition for place in places}
    deadline = time.monotonic() + SETTLE_S
    while open_ends and time.monotonic() < deadline:
        for message in consumer.consume(BATCH, WAIT_S):
            error = message.error()
            if error is None:
                yield message.key(), message.value()
            elif error.code() == KafkaError._PARTITION_EOF:
                open_ends.discard(message.partition())
            else:
                raise KafkaException(error)
    consumer.close()
    if open_ends:
        raise TimeoutError(f"{topic} could not be read to its end within {SETTLE_S:.0f} s")


def make(config: Config, topic: str) -> None:
    """Make an empty topic."""
    client = kafka.admin(config)  # it must outlive its futures
    for future in client.create_topics([NewTopic(topic, num_partitions=PARTITIONS, replication_factor=1)]).values():
        future.result()


def topics(config: Config, part: str) -> list[str]:
    """Topics whose name holds `part`."""
    return sorted(
        name for name in kafka.admin(config).list_topics(timeout=kafka.BROKER_TIMEOUT_S).topics if part in name
    )


def remove(config: Config, part: str) -> None:
    """Delete the topics whose name holds `part`."""
    client = kafka.admin(config)
    names = topics(config, part)
    for future in client.delete_topics(names).values() if names else ():
        future.result()
