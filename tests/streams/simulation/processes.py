"""Who works: processes of each role that are started, advanced step by step, killed, and frozen into zombies."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from davy.sink import SinkLoop
from schemas.config import Config
from schemas.errors import InfrastructureError
from streams.ingest_loop import IngestLoop
from streams.judge_loop import JudgeLoop
from streams.judge_state import Owned
from tests.streams.simulation.setting import DELTAS
from tests.streams.simulation.store import Store
from tests.support.simulated_kafka import Crash, SimBroker, SimConsumer, SimProducer

READ_BATCHES_MAX = 2


@dataclass(slots=True)
class Process:
    """One process: its loop, or None while it is down; frozen ones stand still until that time."""

    role: str
    loop: IngestLoop | JudgeLoop | SinkLoop | None = None
    producer: SimProducer | None = None
    consumers: list[SimConsumer] = field(default_factory=list[SimConsumer])
    frozen_until: float = 0.0


class Processes:
    """All of them, and what stands in place of their Kafka clients."""

    def __init__(self, rng: random.Random, broker: SimBroker, config: Config, disks: Path) -> None:
        self.random = rng
        self.broker = broker
        self.config = config
        self.store = Store(broker)
        self.disks = disks
        """A folder for each sink, which outlives its process."""
        self.all = [Process("ingest") for _ in range(rng.choice((1, 2, 2)))]
        self.all += [Process("judge") for _ in range(rng.choice((1, 1, 2)))]
        self.all += [Process("sink") for _ in range(rng.choice((1, 1, 2)))]
        self._creating: Process | None = None

    def advance(self, process: Process, seconds: float) -> None:
        """One step of one process; whatever it has queued when it is killed may or may not be in the log."""
        if process.frozen_until > seconds:
            return
        try:
            match process.loop:
                case None:
                    self._start(process)
                case IngestLoop() as loop:
                    self._advance_ingest(loop)
                case loop:
                    loop.once()
        except (Crash, InfrastructureError):
            self.kill(process)

    def _advance_ingest(self, loop: IngestLoop) -> None:
        if self.random.random() < 0.5 and len(loop.reader.items) < READ_BATCHES_MAX:
            loop.reader.once()
        else:
            loop.once()

    def _start(self, process: Process) -> None:
        self._creating = process
        process.consumers, process.producer = [], None
        loop: IngestLoop | JudgeLoop | SinkLoop
        try:
            if process.role == "ingest":
                loop = IngestLoop(self.config)
                loop.refresh_partitions()
                loop.reader.begin()
            elif process.role == "judge":
                loop = JudgeLoop(self.config)
                loop.begin()
            else:
                disk = self.disks / str([other is process for other in self.all].index(True))
                loop = SinkLoop(self.config.model_copy(update={"data_dir": disk}), self.store)
                loop.begin()
        finally:
            self._creating = None
        process.loop = loop

    def repair(self, source: tuple[str, int], first: int, end: int) -> None:
        """What `davy repair` does: read the range again, tell it, commit nothing."""
        self._creating = Process("repair")
        loop = IngestLoop(self.config, {source: first})
        self._creating = None
        loop.refresh_partitions()
        loop.reader.begin()
        while loop.ingest.position(source) < end:
            loop.reader.once()
            loop.once()
        loop.finish()

    def kill(self, process: Process) -> None:
        """As `kill -9` does."""
        if process.producer is not None:
            for _ in range(self.random.randrange(4)):
                process.producer.deliver(self.random.choice((1, 5)))
        process.loop = process.producer = None
        for consumer in process.consumers:
            self.broker.leave(consumer)

    def freeze(self, process: Process, until: float) -> None:
        """It stands still, and its group gives its partitions to others; it does not know: a zombie, once it wakes up."""
        process.frozen_until = until
        for consumer in process.consumers:
            group = self.broker.group(consumer.group_id)
            if len(group.members) > 1 and consumer in group.members:
                others = [member for member in group.members if member is not consumer]
                for place, owner in list(group.owners.items()):
                    if owner is consumer:
                        group.owners[place] = self.random.choice(others)

    def judges(self) -> Iterator[Owned]:
        """What judges that are up own, as the group has it."""
        for process in self.all:
            if isinstance(process.loop, JudgeLoop):
                for partition, owned in process.loop.owned.items():
                    if process.consumers and (DELTAS, partition) in process.consumers[0].held:
                        yield owned

    def consumer(self, config: Config, group: str, **more: Any) -> SimConsumer:
        """In place of `streams.kafka.consumer`."""
        consumer = SimConsumer(self.broker, group)
        if self._creating is not None and not group.endswith("-state"):
            self._creating.consumers.append(consumer)
        return consumer

    def producer(self, config: Config, **more: Any) -> SimProducer:
        """In place of `streams.kafka.producer`."""
        producer = SimProducer(self.broker, endless=more.get("message.timeout.ms") == 0)
        assert self._creating is not None
        self._creating.producer = producer
        return producer
