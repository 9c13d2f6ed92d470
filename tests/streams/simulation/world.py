"""One schedule: faults for a minute, then none until everything is counted, then the oracle."""

from __future__ import annotations

import random
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import davy.raw_events
import davy.sink
import davy.warehouse
from davy.sink import SinkLoop
from streams import ingest_loop, judge_loop, judge_state, kafka, reader
from streams.clock import Clock
from streams.judge_loop import JudgeLoop
from streams.judge_state import JudgeState, Owned
from tests.streams.simulation.events import Events
from tests.streams.simulation.faults import RATES, Faults
from tests.streams.simulation.heard import Heard
from tests.streams.simulation.oracle import Oracle
from tests.streams.simulation.processes import Processes
from tests.streams.simulation.setting import (
    BEGIN_US,
    BLOCK,
    CONTROL,
    DEAD,
    DECISIONS,
    DELTAS,
    EVENTS,
    EVENTS_ID,
    PROBES,
    SECONDS,
    STATE,
    STATE_CHUNK_BYTES,
    VERDICTS,
    WINDOWS,
    config_of,
)  # fmt: skip
from tests.support.simulated_kafka import SimBroker

SETTLE_ROUNDS = 400
REPAIR_AFTER_S, WHOLE_AFTER_S = 20, 35
"""After the last fault: when somebody repairs what judges ask for, and when all must be counted at the earliest."""


class World:
    """`verdicts` were recounted, once it has run."""

    def __init__(self, seed: int, rates: dict[str, float] | None = None) -> None:
        self.random = random.Random(seed)
        self.seconds = 0.0
        self.broker = SimBroker(seed + 1, lambda: self.now_us // 1000)
        self.rates = RATES if rates is None else rates
        self.config = config_of(self.random, seed)
        self.events = Events(self.random, self.broker, self.config)
        self._disks = TemporaryDirectory(prefix="davy-simulation-")
        self.processes = Processes(self.random, self.broker, self.config, Path(self._disks.name))
        self.faults = Faults(self.random, self.broker, self.events, self.processes)
        self.heard = Heard()
        self.repaired: set[tuple[int, int]] = set()
        """Partitions and blocks whose counts did not come by themselves."""
        self.verdicts = 0
        self.broker.create(DELTAS, self.config.limits.delta_partitions)
        for topic in (CONTROL, STATE, WINDOWS, VERDICTS, DEAD, DECISIONS, PROBES):
            self.broker.create(topic, 1)

    @property
    def now_us(self) -> int:
        """The simulated time, which is everybody's."""
        return BEGIN_US + round(self.seconds * 1e6)

    def run(self) -> None:
        """Raises AssertionError with what is wrong."""
        with self._disks, self._in_place():
            self.events.apply(self.now_us)
            self.broker.rates = self.rates
            while self.seconds < SECONDS:
                self._step()
            self.broker.rates = {}
            self._settle()
        oracle = Oracle(self.config, self.broker, self.events, self.processes.store, self.heard)
        assert not self.repaired or "delta lost" in self.broker.survived, "counts were missing that nobody had lost"
        oracle.check({owned.judge.epoch for owned in self.processes.judges()})
        self.verdicts = oracle.verdicts

    def _step(self) -> None:
        self.seconds += self.random.uniform(0.0, 0.25)
        for _ in range(self.random.randrange(3)):
            self.events.event(self.now_us)
        for process in self.random.sample(self.processes.all, 2):
            if self.broker.happens("freeze"):
                self.processes.freeze(process, self.seconds + self.random.uniform(1, 15))
            self.processes.advance(process, self.seconds)
        producer = self.random.choice(self.processes.all).producer
        if producer is not None:
            producer.deliver(self.random.choice((1, 5, 50)))
        self.faults.chance()
        if self.random.random() < 0.01:
            self.seconds += self.events.person(self.now_us) / 1e6

    def _settle(self) -> None:
        """No more faults: everyone is up and works until all is counted, and stored."""
        for process in self.processes.all:
            process.frozen_until = 0.0
        for name in self.faults.groups:
            self.broker.rebalance(name)
        for _ in range(SETTLE_ROUNDS):
            self.seconds += 0.5
            for process in self.processes.all:
                for _ in range(2):
                    self.processes.advance(process, self.seconds)
                while process.producer is not None and any(process.producer.waiting.values()):
                    process.producer.deliver(1000)
            if self.seconds > SECONDS + REPAIR_AFTER_S:
                self._repair()
            if self.seconds > SECONDS + WHOLE_AFTER_S and self._whole():
                return
        raise AssertionError(f"not all was counted: {self._frontiers()} of {self.events.ends}")

    def _repair(self) -> None:
        """What people do, where a judge still asks for it once everyone is up."""
        asked = {(p, block) for owned in self.processes.judges() for (_, p), block in owned.judge.stuck.items()}
        for partition, block in sorted(asked - self.repaired):
            self.processes.repair((EVENTS, partition), block * BLOCK, self.events.ends[partition])
        self.repaired |= asked

    def _frontiers(self) -> list[dict[int, int]]:
        judges = [owned.judge for owned in self.processes.judges()]
        return [{p: source.frontier for (_, p), source in judge.fold.sources.items()} for judge in judges]

    def _whole(self) -> bool:
        """Every delta partition has a judge that counted and closed everything and knows all control; the sink wrote all."""
        ends, frontiers = self.events.ends, self._frontiers()
        counted = all(f.get(p, -1) >= end for f in frontiers for p, end in ends.items())
        last = self.broker.logs[CONTROL, 0].end - 1
        told = all(owned.judge.control_offset == last for owned in self.processes.judges())
        committed = self.broker.group("davy.sink").committed
        topics = (CONTROL, WINDOWS, VERDICTS)
        closed = all(owned.judge.closed_us >= self.events.last_us for owned in self.processes.judges())
        spools = [process.loop.spool for process in self.processes.all if isinstance(process.loop, SinkLoop)]
        written = all(committed.get((topic, 0), (0, ""))[0] >= self.broker.logs[topic, 0].end for topic in topics)
        sampled = self.broker.group("davy.sink-events").committed
        if self.config.raw_events.sample:
            written = written and all(sampled.get((EVENTS, p), (0, ""))[0] >= end for p, end in ends.items())
        stored = written and not any(len(spool) or spool.raw_files for spool in spools)
        return len(frontiers) == self.config.limits.delta_partitions and counted and told and closed and stored

    # -- in place of Kafka and the clock -------------------------------------------------------------------------

    @contextmanager
    def _in_place(self) -> Generator[None]:
        clock = SimpleNamespace(monotonic=lambda: self.seconds, time_ns=lambda: self.now_us * 1000)
        simulated = {
            "time": clock, "member": lambda config, role: {}, "number": lambda config, role: 0,
            "topic_names": lambda config: {EVENTS_ID: EVENTS},
            "log": SimpleNamespace(info=_quiet, warning=_quiet, error=_quiet),
        }  # fmt: skip
        broker, processes = self.broker, self.processes
        with ExitStack() as stack:
            for module in (
                ingest_loop,
                reader,
                judge_loop,
                judge_state,
                kafka,
                davy.sink,
                davy.warehouse,
                davy.raw_events,
            ):
                for name in simulated.keys() & vars(module).keys():
                    stack.enter_context(patch.object(module, name, simulated[name]))
            stack.enter_context(patch.object(judge_state, "STATE_CHUNK_BYTES", STATE_CHUNK_BYTES))
            stack.enter_context(patch.object(kafka, "consumer", processes.consumer))
            stack.enter_context(patch.object(kafka, "producer", processes.producer))
            stack.enter_context(patch.object(kafka, "partitions", lambda config, topic: broker.partitions(topic)))
            stack.enter_context(patch.object(Clock, "now_us", lambda clock: self.now_us))
            stack.enter_context(self._listening())
            yield

    @contextmanager
    def _listening(self) -> Generator[None]:
        """What judges say, and where in the delta log."""
        take, restore, heard = JudgeLoop._take, JudgeState.restore, self.heard  # pyright: ignore[reportPrivateUsage]

        def restored(state: JudgeState, partition: int, settings: Any) -> Owned:
            owned = restore(state, partition, settings)
            heard.claimed(partition, owned)
            return owned

        def taken(loop: JudgeLoop, message: Any, delta: Any) -> None:
            with heard.at(loop, message):
                take(loop, message, delta)

        with patch.object(JudgeLoop, "_take", taken), patch.object(JudgeState, "restore", restored), heard.outputs():
            yield


def _quiet(*_: object, **__: object) -> None:
    """No log."""
