"""`python -m bench.sink [ROWS]`: how fast the sink fills a ClickHouse server, beside the bare driver, written to
docs/benchmarks.md.

Bare: clickhouse-driver's columnar insert of the same windows, in blocks as large as the sink's, as lists that are there
already. The store: the same from the sink's columns. The sink: from the first read of Kafka until its rows are in the
store: reading, decoding, columns, inserting.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clickhouse_driver import Client  # pyright: ignore[reportMissingTypeStubs]
from confluent_kafka import Producer

from bench.document import heading, rewrite
from bench.kafka import own_kafka
from davy import sink, warehouse
from davy.sink import SinkLoop
from schemas.config import INTEGER_MEASURES, Clickhouse, Config
from schemas.window import WindowSummary
from streams.sinks import columns
from streams.sinks.server import ServerStore
from streams.sinks.tables import OLD, WINDOWS
from streams.topics import ensure_topics
from tests.streams.sinks.server import ClickhouseServer

ROWS, ROUNDS, SERVICES = 400_000, 5, 100
BEGIN_US, WINDOW_US = 1_764_000_000_000_000, 5_000_000
Speed = tuple[float, float]
"""Rows a second, and microseconds of this process's CPU for each; the server's are not counted."""
Speeds = tuple[Speed, Speed, Speed]
"""Of the driver, the store, the sink."""
BEGIN = "<!-- sink: written by python -m bench.sink -->"


def main() -> None:
    """Measure in turns, write, print."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    windows = [window(index) for index in range(rows)]
    load = os.getloadavg()[0]
    with own_kafka() as broker:
        server = ClickhouseServer(Path(broker.folder) / "clickhouse")
        server.start()
        try:
            with ServerStore(server.url.replace("/davy", "/default")) as store:
                version = str(store.rows("SELECT version()")[0][0])
            found = [turn(server, broker.bootstrap, windows, number) for number in range(ROUNDS)]
        finally:
            server.stop()
    text = "\n".join(lines(rows, version, found, load))
    rewrite(BEGIN, text)
    print(text)


def turn(server: ClickhouseServer, bootstrap: str, windows: Sequence[WindowSummary], number: int) -> Speeds:
    """All, one after the other."""
    found = bare(server, windows, number), stored(server, windows, number), through(server, bootstrap, windows, number)
    told = "sink: bare {:,.0f} rows/s, store {:,.0f}, sink {:,.0f}"
    print(told.format(*(speed for speed, _ in found)), file=sys.stderr, flush=True)
    return found


def window(index: int) -> WindowSummary:
    """A hundred services, two arms, one window after another."""
    service, arm, number = index % SERVICES, index // SERVICES % 2, index // SERVICES // 2
    start, rows = BEGIN_US + number * WINDOW_US, 1000 + index % 97
    return WindowSummary(
        f"service-{service}-1.1", f"service-{service}", "production", f"1.{arm}", ("control", "canary")[arm], start,
        start + WINDOW_US, rows, index % 7, 41_000.5 + index % 1009, 30_000.0, 60_000.0, 90_000.0, 120_000.0 + index % 503,
        300_000.0, float(rows), 0, 0, {"cpu_us": 9000.5 + index % 211, "memory_bytes": 1e6}, 1,
    )  # fmt: skip


class Clock:
    """From its making on."""

    def __init__(self) -> None:
        self._wall_s, self._cpu_s = time.monotonic(), time.process_time()

    def speed(self, rows: int) -> Speed:
        """Of so many rows until now."""
        return rows / (time.monotonic() - self._wall_s), (time.process_time() - self._cpu_s) / rows * 1e6


def bare(server: ClickhouseServer, windows: Sequence[WindowSummary], number: int) -> Speed:
    """The driver alone."""
    url = server.url.replace("/davy", f"/bare_{number}")
    with ServerStore(url) as store:
        store.migrate(INTEGER_MEASURES)
    parts = list(OLD.parts(WINDOWS))
    rows = [window.to_avro() for window in windows]
    blocks: list[list[list[Any]]] = []
    for begin in range(0, len(rows), sink.FLUSH_RECORDS):
        block = rows[begin : begin + sink.FLUSH_RECORDS]
        blocks.append([_values(name, column, block) for column, name, _ in parts])
    names = ", ".join(f"`{column}`" for column, _, _ in parts)
    client: Any = Client.from_url(url)
    clock = Clock()
    for block in blocks:
        client.execute(f"INSERT INTO {WINDOWS.raw} ({names}) VALUES", block, columnar=True)
    speed = clock.speed(len(rows))
    client.disconnect()
    return speed


def stored(server: ClickhouseServer, windows: Sequence[WindowSummary], number: int) -> Speed:
    """The store, from columns."""
    values = [window.encode() for window in windows]
    blocks = [
        columns.read("windows", values[begin : begin + sink.FLUSH_RECORDS])[0]["windows"]
        for begin in range(0, len(values), sink.FLUSH_RECORDS)
    ]
    with ServerStore(server.url.replace("/davy", f"/stored_{number}")) as store:
        store.migrate(INTEGER_MEASURES)
        clock = Clock()
        for block in blocks:
            store.add("windows", block)
        return clock.speed(len(windows))


def _values(name: str, column: str, rows: Sequence[Any]) -> list[Any]:
    """One column, as the driver takes it."""
    if column == f"{name}.key":
        return [list(row[name]) for row in rows]
    if column == f"{name}.value":
        return [list(row[name].values()) for row in rows]
    if name in ("start", "end") and column == name:
        return [row[name] // 1_000_000 for row in rows]
    return [row[name] for row in rows]


def through(server: ClickhouseServer, bootstrap: str, windows: Sequence[WindowSummary], number: int) -> Speed:
    """The sink."""
    url = server.url.replace("/davy", f"/sink_{number}")
    config = Config(
        kafka={"bootstrap.servers": bootstrap}, embedded=True, prefix=f"sink-{number}.",  # embedded: no waiting for a group
        clickhouse=Clickhouse.model_validate({"url": url}),
    )  # fmt: skip
    ensure_topics(config)
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 50, "queue.buffering.max.messages": 2_000_000})
    for window in windows:
        producer.produce(config.topic("windows"), window.encode(), window.experiment_id)
    assert producer.flush(120) == 0
    with ServerStore(url) as store:
        loop = SinkLoop(config, store)
        loop.warehouse.reachable()
        loop.begin()
        before = _written()
        while not (first := _written() - before):
            loop.once()
        clock = Clock()
        while _written() - before < len(windows):
            loop.once()
        speed = clock.speed(len(windows) - first)
        loop.close()
    return speed


def _written() -> int:
    return int(warehouse.ROWS.labels("windows")._value.get())


def lines(rows: int, version: str, found: Sequence[Speeds], load: float) -> list[str]:
    """The figures as Markdown."""
    return [
        f"`python -m bench.sink`, {datetime.now(UTC):%Y-%m-%d}: {rows:,} windows of {SERVICES} services, blocks of "
        f"{sink.FLUSH_RECORDS:,}, ClickHouse {version}, {os.cpu_count()} cores shared with it, load "
        f"{load:.1f} before it began; {len(found)} rounds in turns.",
        "",
        *heading("", ["median, rows/s", "least to most", "to bare", "us CPU/row"]),
        f"| the driver's columnar insert | {_middle(0, found)} |",
        f"| the store, from columns | {_middle(1, found)} |",
        f"| the sink, from Kafka to the store | {_middle(2, found)} |",
    ]


def _middle(which: int, found: Sequence[Speeds]) -> str:
    speeds, cpu_us = [turn[which][0] for turn in found], statistics.median(turn[which][1] for turn in found)
    ratio = statistics.median(turn[which][0] / turn[0][0] for turn in found)
    return f"{statistics.median(speeds):,.0f} | {min(speeds):,.0f} to {max(speeds):,.0f} | {ratio:.2f} | {cpu_us:.1f}"


if __name__ == "__main__":
    main()
