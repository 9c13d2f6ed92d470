"""A fleet on a machine that cannot run one: its workers and judges one after the other.

Workers never talk to each other: each runs in a process of its own on its own partitions, with clocks that all begin at the
same moment; then each judge, on its own partition of what all of them told, in the order in which it would have come.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from analyzers import trial
from davy.bench import RATE, rows
from schemas.config import Config, load_config
from schemas.control import Control, WeightApplied, WeightIntent
from schemas.delta import Cells, ControlCopy, Progress, decode_delta
from schemas.spec import load_specs
from schemas.window import WindowSummary
from streams import checkpoint, deltas, ingest_loop, judge_loop, kafka
from streams.deltas import PackedCells
from streams.encode import encode
from streams.experiment import Experiment
from streams.ingest_loop import IngestLoop
from streams.judge import Judge
from streams.judge_settings import JudgeSettings
from streams.topics import ensure_topics, topic_names

WORKERS, PARTITIONS_EACH, JUDGES = 2, 4, 4
BEFORE_US, AFTER_US = 5_000_000, (12_000_000, 14_000_000)
"""Traffic was shifted that long before the first event; progress goes on that long after the last."""
SPEC = """\
apiVersion: davy/v1
kind: Experiment
id: exp-0000
service: service-00
environment: production
variants: {control: {version: 2.3.1}, canary: {version: 2.4.0}}
randomization: user
slis:
  - {name: errors, type: error_ratio, max_increase: 1pp}
  - {name: latency, type: latency_quantile, quantile: 0.99, max_increase: 10%}
  - {name: traffic, type: throughput, max_decrease: 30%}
policy: {min_duration: 1h, min_requests: 1000000}
steps: [{weight: 50%, duration: 1h}]
"""


@dataclass(frozen=True, slots=True)
class Work:
    """One worker: seconds of CPU and of time, memory in MB beyond what it had before the first event."""

    events: int
    cpu_s: float
    wall_s: float
    memory_mb: float


@dataclass(frozen=True, slots=True)
class Judging:
    """One judge. `round_s` of its CPU went into rounds of judgement, in which `evaluations` closed windows were judged."""

    deltas: int
    cells: int
    bytes: int
    fold_s: float
    round_s: float
    evaluations: int
    verdicts: int
    memory_mb: float
    state_bytes: int
    state_s: float
    rows: int


@dataclass(frozen=True, slots=True)
class Fleet:
    experiments: int
    workers: list[Work]
    judges: list[Judging]


class _FromThen:
    """A clock that was at `origin_us` when it was made, whenever that was."""

    def __init__(self, origin_us: int) -> None:
        self.origin_us, self._begun = origin_us, time.monotonic()

    def now_us(self) -> int:
        return self.origin_us + round((time.monotonic() - self._begun) * 1e6)


class _TimedJudge(Judge):
    """Knows what its rounds cost."""

    def __init__(self, settings: JudgeSettings) -> None:
        super().__init__(settings)
        self.round_s = 0.0

    def _round(self, touched: set[str], out: list[Any]) -> None:
        begun = time.process_time()
        super()._round(touched, out)
        self.round_s += time.process_time() - begun


def run(folder: Path, bootstrap: str, events: int, experiments: int) -> Fleet:
    """All workers, then all judges, one after the other."""
    path = folder / f"{experiments}.yaml"
    path.write_text(
        f"kafka: {{bootstrap.servers: '{bootstrap}'}}\nprefix: scaling-{experiments}.\nembedded: true\n"
        f"limits: {{event_partitions: {WORKERS * PARTITIONS_EACH}, delta_partitions: {JUDGES}}}\n"
    )
    config = load_config(path)
    ensure_topics(config)
    origin_us = time.time_ns() // 1000
    _tell(f"writing {events:,} events of {experiments:,} experiments")
    _fill(config, events, experiments, origin_us)
    workers, judges = list[Work](), list[Judging]()
    for number in range(WORKERS):
        workers.append(_apart(_ingest, path, number, origin_us))
        _tell(f"worker {number}: {workers[-1]}")
    for number in range(JUDGES):
        judges.append(_apart(_judge, path, number, experiments, origin_us - events * 1_000_000 // RATE))
        _tell(f"judge {number}: {judges[-1]}")
    counted = sum(judging.rows for judging in judges)
    if counted != events:
        raise AssertionError(f"{events} events were written, the windows hold {counted}")
    return Fleet(experiments, workers, judges)


def _apart(work: Any, *arguments: Any) -> Any:
    """The work's result, done in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def _fill(config: Config, events: int, experiments: int, end_us: int) -> None:
    producer: Producer = kafka.producer(config, **{"linger.ms": 20, "queue.buffering.max.messages": 1_000_000})
    random = np.random.default_rng(1)
    topic = config.topic("events")
    for batch, stamps_ms, _ in rows(events, experiments, end_us):
        partitions = random.integers(0, WORKERS * PARTITIONS_EACH, batch.num_rows).tolist()
        for value, stamp, partition in zip(encode(batch).to_pylist(), stamps_ms, partitions, strict=True):
            while True:
                try:
                    producer.produce(topic, value, partition=partition, timestamp=stamp)
                    break
                except BufferError:
                    producer.poll(0.1)
    producer.flush()


def _ingest(path: Path, number: int, origin_us: int) -> Work:
    """One worker on its own partitions."""
    ingest_loop.prepare()
    config = load_config(path)
    topic = config.topic("events")
    mine = range(number * PARTITIONS_EACH, (number + 1) * PARTITIONS_EACH)
    consumer: Consumer = kafka.consumer(config, "ends")
    ends = {(topic, p): consumer.get_watermark_offsets(TopicPartition(topic, p), 10)[1] for p in mine}
    consumer.close()
    loop = IngestLoop(config, dict.fromkeys(ends, 0))
    loop.clock = _FromThen(origin_us)  # pyright: ignore[reportAttributeAccessIssue]
    memory, cpu, wall = _current_mb(), time.process_time(), time.perf_counter()
    loop.read_up_to(ends)
    return Work(
        sum(ends.values()), time.process_time() - cpu, time.perf_counter() - wall, _peak_mb() - memory
    )  # fmt: skip


def _judge(path: Path, number: int, experiments: int, begin_us: int) -> Judging:
    """One judge on its own delta partition."""
    judge_loop.prepare()
    config = load_config(path)
    settings = JudgeSettings.of(config, number, JUDGES, topic_names(config))
    judge = _TimedJudge(settings)
    feed = _merged(config, number)
    begin_experiments(judge, experiments, begin_us - BEFORE_US)
    memory = _current_mb()
    summaries: dict[Any, tuple[int, int]] = {}
    cells = verdicts = 0
    judge.round_s = 0.0
    judged = _count_windows()
    begun = time.process_time()
    for delta in _read(feed):
        cells += len(delta.cells) if isinstance(delta, PackedCells) else 0
        for output in judge.step(delta):
            if isinstance(output, WindowSummary):
                key = (output.experiment_id, output.service, output.version, output.variant, output.start)
                summaries[key] = max(summaries.get(key, (-1, 0)), (output.revision, output.rows))
            else:
                verdicts += 1
    spent = time.process_time() - begun
    memory = _current_mb() - memory
    begun = time.process_time()
    state = checkpoint.dump(judge)
    return Judging(
        len(feed), cells, sum(len(value) for value in feed if isinstance(value, bytes)), spent - judge.round_s,
        judge.round_s, judged[0], verdicts, memory, len(state), time.process_time() - begun,
        sum(counted for _, counted in summaries.values()),
    )  # fmt: skip


def _count_windows() -> list[int]:
    """How many windows the trials of this process are given from now on."""
    step, judged = trial.step, [0]

    def counted(*arguments: Any) -> Any:
        judged[0] += 1
        return step(*arguments)

    trial.step = counted
    return judged


def begin_experiments(judge: Judge, experiments: int, time_us: int, document: str = SPEC) -> None:
    """Specs in force and traffic at 50 %."""
    (spec,) = load_specs(document)
    weights = {"control": 0.5, "canary": 0.5}
    offset = 0
    for i in range(experiments):
        name, service = f"exp-{i:04d}", f"service-{i % 40:02d}"
        if not judge.settings.owns(service, "production"):
            continue
        judge.experiments[name] = Experiment(spec.model_copy(update={"id": name, "service": service}))
        for body in (WeightIntent(f"i{i}", 0, weights), WeightApplied(f"i{i}", 0, weights)):
            judge.step(ControlCopy(offset := offset + 1, Control(name, time_us, "bench", "bench", body).encode()))
    judge.name_windows()


def _read(feed: list[bytes | Progress]) -> Iterator[Any]:
    """The feed as the judge takes it, read in batches as its loop does."""
    for begin in range(0, len(feed), judge_loop.BATCH_MAX):
        batch = feed[begin : begin + judge_loop.BATCH_MAX]
        found = iter(deltas.read([value for value in batch if isinstance(value, bytes)]))
        yield from (next(found) if isinstance(value, bytes) else value for value in batch)


def _merged(config: Config, number: int) -> list[bytes | Progress]:
    """The partition's log as it would be had the workers run at once; at the end all windows are told to be over."""
    found: list[tuple[float, bytes]] = []
    begun: dict[int, float] = {}
    last: dict[int, Progress] = {}
    for stamp, value in _log(config, number):
        delta = decode_delta(value)
        if not isinstance(delta, (Cells, Progress)):
            continue
        worker = delta.partition // PARTITIONS_EACH
        found.append((stamp - begun.setdefault(worker, stamp), value))
        if isinstance(delta, Progress):
            last[delta.partition] = delta
    found.sort(key=lambda item: item[0])  # stable: each worker's own order stays
    ending = [replace(p, wall_time=p.wall_time + after) for after in AFTER_US for p in last.values()]
    return [*(value for _, value in found), *ending]


def _log(config: Config, number: int) -> Iterable[tuple[int, bytes]]:
    consumer: Consumer = kafka.consumer(config, "log")
    consumer.assign([TopicPartition(config.topic("deltas"), number, 0)])
    while True:
        for message in consumer.consume(5000, 1.0):
            error, value = message.error(), message.value()
            if error is None and value is not None:
                yield message.timestamp()[1], value
            elif error is not None and error.code() == KafkaError._PARTITION_EOF:  # pyright: ignore
                consumer.close()
                return


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _current_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / (1 << 20)


def _tell(sentence: str) -> None:
    print(f"scaling: {sentence}", file=sys.stderr, flush=True)
