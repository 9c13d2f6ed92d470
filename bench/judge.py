"""`python -m bench.judge`: what the judge costs for each cell and each round of judgement, into docs/scaling.md.

No broker: production ingest tells what it would tell while it follows the log, and production judge, in a process of its own
as ever, takes it as its loop does, specs in force. CPU is that of the whole process.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from bench.document import rewrite
from bench.fleet import AFTER_US, BEFORE_US, SPEC, begin_experiments
from bench.scaling import DOCUMENT
from davy.bench import PARTITIONS, RATE, rows
from schemas.config import Config
from schemas.delta import Progress, decode_delta, encode_delta
from streams import deltas
from streams.deltas import PackedCells
from streams.ingest import Ingest, Run, Send
from streams.judge import Judge
from streams.judge_loop import BATCH_MAX, prepare
from streams.judge_settings import JudgeSettings
from streams.layout import Layout
from streams.rows import Rows

EVENTS = 2_500_000
EXPERIMENTS = (200, 1000)
END_US = 1_800_000_000_000_000
TOPIC = "davy.events"
CONFIG = Config.model_validate({"limits": {"delta_partitions": 1}})
BEGIN = "<!-- judge: written by python -m bench.judge -->"
FIVE_SLIS = SPEC.replace(
    "policy:",
    "  - {name: duration, type: latency_mean, max_increase: 10%}\n"
    "  - {name: cpu, type: resource_mean, field: cpu_us, max_increase: 10%}\npolicy:",
)


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of CPU; `rounds_s` of rounds in which every experiment was judged over closed windows, `telling_s` the part of
    each that adds these windows up and tells them."""

    experiments: int
    cells: int
    log_bytes: int
    read_s: float
    fold_s: float
    rounds_s: list[float]
    telling_s: list[float]


class _TimedJudge(Judge):
    """Knows what its rounds cost, and which of them judged a closed window."""

    def __init__(self, settings: JudgeSettings) -> None:
        super().__init__(settings)
        self.rounds: list[tuple[bool, float, float]] = []
        self._telling_s = 0.0

    def _round(self, touched: set[str], out: list[Any]) -> None:
        closed, begun = self.closed_us, time.process_time()
        super()._round(touched, out)
        self.rounds.append((self.closed_us > closed > 0, time.process_time() - begun, self._telling_s))

    def _summaries(self, closed_us: int, out: list[Any]) -> None:
        begun = time.process_time()
        super()._summaries(closed_us, out)
        self._telling_s = time.process_time() - begun


def main() -> None:
    """Measure, then replace the table in the document."""
    prepare()
    load = os.getloadavg()[0]
    text = table([measure(EVENTS, n) for n in EXPERIMENTS], load)
    rewrite(BEGIN, text, DOCUMENT)
    print(text)


def measure(events: int, experiments: int) -> Cost:
    """One judge over all that ingest tells of the events."""
    log = list(told(Layout.of(CONFIG), events, experiments))
    with multiprocessing.get_context("spawn").Pool(1, prepare) as pool:
        return pool.apply(_measured, (log, events, experiments))


def _measured(log: list[bytes], events: int, experiments: int) -> Cost:
    judge = _TimedJudge(JudgeSettings.of(CONFIG, 0, 1, {"id": TOPIC}))
    begin_experiments(judge, experiments, END_US - events * 1_000_000 // RATE - BEFORE_US, FIVE_SLIS)
    judge.rounds.clear()
    gc.collect()
    cells, read_s, begun = 0, 0.0, time.process_time()
    for start in range(0, len(log), BATCH_MAX):
        at = time.process_time()
        batch = deltas.read(log[start : start + BATCH_MAX])
        read_s += time.process_time() - at
        for delta in batch:
            cells += len(delta.cells) if isinstance(delta, PackedCells) else 0
            judge.step(delta)  # pyright: ignore[reportArgumentType]  # all of it is readable
    spent = time.process_time() - begun
    rounds = [(seconds, telling) for judged, seconds, telling in judge.rounds if judged]
    return Cost(
        experiments, cells, sum(map(len, log)), read_s, spent - read_s - sum(seconds for _, seconds, _ in judge.rounds),
        [seconds for seconds, _ in rounds], [telling for _, telling in rounds],
    )  # fmt: skip


def told(layout: Layout, events: int, experiments: int) -> Iterator[bytes]:
    """The delta log of ingest that follows four partitions and tells what changed every half second."""
    ingest, last = Ingest(layout), dict[int, Progress]()
    for p in range(PARTITIONS):
        ingest.assigned((TOPIC, p), "id", 0)
    ingest.n_partitions[TOPIC] = PARTITIONS
    for batch, stamps_ms, partitions in rows(events, experiments, END_US):  # half a second of events each
        kafka_us, where = np.array(stamps_ms) * 1000, np.array(partitions)
        now_us = int(kafka_us[-1])
        for p in range(PARTITIONS):
            mine = np.flatnonzero(where == p)
            found = Rows.of(batch.take(pa.array(mine)), [])
            none = np.empty(0, np.int64)
            run = Run((TOPIC, p), ingest.position((TOPIC, p)), kafka_us[mine], found, 0, np.arange(len(mine)), none)
            yield from _values(ingest.records(run, now_us))
            ingest.tables[TOPIC, p].high_watermark = ingest.position((TOPIC, p))
        for value in _values(ingest.tick(now_us)):
            yield value
            if isinstance(delta := decode_delta(value), Progress):
                last[delta.partition] = delta
    for after in AFTER_US:
        for progress in last.values():
            yield encode_delta(replace(progress, wall_time=progress.wall_time + after))


def _values(outputs: Iterator[Any]) -> Iterator[bytes]:
    return (output.value for output in outputs if isinstance(output, Send))


def table(costs: list[Cost], load: float) -> str:
    """The figures as Markdown."""
    lines = [
        f"`python -m bench.judge`, {datetime.now(UTC):%Y-%m-%d}: {EVENTS:,} events at {RATE:,} per second of event time, "
        f"{PARTITIONS} source partitions that tell every half second, one judge, five SLIs for each experiment, Python "
        f"{platform.python_version()}, {os.cpu_count()} shared cores, load {load:.1f} before it began.",
        "",
        "| | " + " | ".join(f"{cost.experiments:,} experiments" for cost in costs) + " |",
        "| :--- |" + " ---: |" * len(costs),
    ]
    figures = {
        "cells": [f"{c.cells:,}" for c in costs],
        "bytes per cell": [f"{c.log_bytes / c.cells:,.0f}" for c in costs],
        "us CPU per cell, read": [f"{1e6 * c.read_s / c.cells:.1f}" for c in costs],
        "us CPU per cell, folded and counted": [f"{1e6 * c.fold_s / c.cells:.1f}" for c in costs],
        "s CPU per round (windows closed, every experiment judged), median": [
            f"{statistics.median(c.rounds_s):.2f}" for c in costs
        ],
        "of these for adding windows up and telling them, median": [
            f"{statistics.median(c.telling_s):.2f}" for c in costs
        ],
        "rounds": [str(len(c.rounds_s)) for c in costs],
        "us CPU per experiment and round": [
            f"{1e6 * statistics.median(c.rounds_s) / c.experiments:.0f}" for c in costs
        ],
    }
    return "\n".join([*lines, *(f"| {name} | " + " | ".join(values) + " |" for name, values in figures.items())])


if __name__ == "__main__":
    main()
