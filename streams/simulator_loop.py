"""The simulator's shell: synthetic events to Kafka, at the pace of the clock that all roles share.

Weights are read from the splitter's `flagd.json` as a flag library would, before every tick; before there is
one, control serves everything. A record's Kafka timestamp is the end of its tick: the services that are
simulated send at once, however busy this machine is.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import structlog
from confluent_kafka import Producer

from schemas.config import Config
from streams import kafka
from streams.clock import Clock
from streams.encode import encode
from streams.scenario import Scenario
from streams.simulator import Simulator
from streams.topics import ensure_topics

TICK_S = 0.05
"""Wall time between two sends."""
BEHIND_MAX_US = 60_000_000
"""A machine that slept longer than that goes on from now: its services slept, too."""
FLUSH_S = 5.0

log = structlog.get_logger("simulator")


class FlagFile:
    """Weights as the splitter last wrote them."""

    def __init__(self, path: Path, experiment_id: str) -> None:
        self.path = path
        self.experiment_id = experiment_id
        self._seen: tuple[int, int] | None = None
        self._weights: Mapping[str, float] = {}

    def weights(self) -> Mapping[str, float]:
        """Share per variant; empty before the file is there. Reads it only when it was replaced."""
        try:
            stat = self.path.stat()
            if (stat.st_mtime_ns, stat.st_ino) != self._seen:
                self._weights = fractions(json.loads(self.path.read_text("utf-8")), self.experiment_id)
                self._seen = (stat.st_mtime_ns, stat.st_ino)
        except FileNotFoundError:
            self._weights = {}
        return self._weights


def fractions(document: Any, experiment_id: str) -> dict[str, float]:
    """Share per variant of a flagd document's fractional split.

    >>> split = [{"var": "unit"}, ["canary", 1], ["control", 3]]
    >>> fractions({"flags": {"x": {"targeting": {"fractional": split}}}}, "x")
    {'canary': 0.25, 'control': 0.75}
    """
    split: list[Any] = document["flags"][experiment_id]["targeting"]["fractional"]
    weights: dict[str, float] = {entry[0]: entry[1] for entry in split if isinstance(entry, list)}
    total = sum(weights.values())
    return {variant: weight / total for variant, weight in weights.items()}


def flag_file(config: Config, scenario: Scenario) -> FlagFile:
    """Where the rollout's splitter writes the weights of the scenario's experiment."""
    experiment = scenario.spec.id
    return FlagFile(config.traffic / experiment / "flagd.json", experiment)


def ticks(now_us: Callable[[], int], longest_us: int, stop: threading.Event) -> Iterator[tuple[int, int]]:
    """Intervals of event time as they pass, each begun where the last one ended, none longer than
    `longest_us`."""
    begin = now_us()
    while not stop.wait(TICK_S):
        now = now_us()
        if now - begin > BEHIND_MAX_US:
            log.warning("the clock went on without us", seconds=(now - begin) / 1e6)
            begin = now
        while begin < now and not stop.is_set():
            end = min(now, begin + longest_us)
            yield begin, end
            begin = end


def run(config: Config, scenario: Scenario, seed: int, stop: threading.Event, rate: float | None = None,
        events: int | None = None) -> int:  # fmt: skip
    """Send until `stop` is set or so many `events` were sent; returns how many."""
    kafka.require_broker(config)
    ensure_topics(config)
    simulator = Simulator(scenario, seed, rate)
    flags, clock = flag_file(config, scenario), Clock.of(config)
    producer = kafka.producer(config)
    topic = config.topic("events")
    places = itertools.cycle(kafka.partitions(config, topic))
    sent = 0
    log.info("sending", scenario=scenario.name, seed=seed, rate=simulator.rate)
    for begin, end in ticks(clock.now_us, int(2 * TICK_S * 1e6 * clock.speed), stop):
        batch = simulator.events(begin, end, flags.weights())
        if events is not None:
            batch = batch.slice(0, events - sent)
        _send(producer, topic, batch, places, end // 1000)
        sent += batch.num_rows
        if sent == events:
            break
    producer.flush(FLUSH_S)
    return sent


def _send(producer: Producer, topic: str, batch: pa.RecordBatch, places: Iterator[int], time_ms: int) -> None:
    """All rows, one partition after the other."""
    for value in encode(batch).to_pylist():
        while True:
            try:
                producer.produce(topic, value, partition=next(places), timestamp=time_ms)
                break
            except BufferError:
                producer.poll(TICK_S)
    producer.poll(0)
