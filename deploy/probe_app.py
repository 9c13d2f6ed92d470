"""The probe role: asks every dependency whether it is well, and says so on `davy.probes`.

Each target has a task of its own; at most `probes.concurrency` probes run at once, each ends at its timeout, and the intervals
are jittered, so that targets are not asked in step. A probe that hangs delays no other.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time

import structlog
from confluent_kafka import KafkaException
from prometheus_client import Counter, Gauge

from deploy.prober import Watched, probe
from deploy.probes import kinds
from schemas.config import Config
from schemas.errors import UserError
from schemas.probe import ProbeResult
from streams import kafka
from streams.clock import Clock
from streams.standing import HERE
from streams.topics import ensure_topics

STOP_POLL_S = 0.1
FLUSH_S = 5.0
WAIT_MIN_S = 0.01
CIRCUITS = {"CLOSED": 0, "HALF_OPEN": 1, "OPEN": 2}

log = structlog.get_logger("probe")
PROBED = Counter("davy_probes_total", "Probes that ended.", ["target", "result"])
CIRCUIT = Gauge("davy_probe_circuit", "Circuit of a target: 0 closed, 1 half open, 2 open.", ["target"])
LATENCY = Gauge("davy_probe_latency_seconds", "How long the latest answered probe took.", ["target"])


def run(config: Config, stop: threading.Event) -> None:
    """Blocks until stopped; raises UserError where a kind is unknown or a target not allowed."""
    for name, why in config.probes.refused().items():
        raise UserError(f"probes.targets.{name}: {why}")
    for name, target in config.probes.targets.items():
        if target.kind not in kinds():
            raise UserError(f"probes.targets.{name}: there is no kind {target.kind!r}; there are {', '.join(kinds())}")
    kafka.require_broker(config)
    ensure_topics(config)
    asyncio.run(_Role(config, stop).serve())


class _Role:
    def __init__(self, config: Config, stop: threading.Event) -> None:
        self._config = config
        self._stop = stop
        self._clock = Clock.of(config)
        self._producer = kafka.producer(config)
        self._slots = asyncio.Semaphore(config.probes.concurrency)
        self._random = random.Random()

    async def serve(self) -> None:
        """All targets until stopped."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._watch(name)) for name in self._config.probes.targets]
            while not self._stop.is_set():
                HERE.beat(time.monotonic())
                self._producer.poll(0)
                await asyncio.sleep(STOP_POLL_S)
            for task in tasks:
                task.cancel()
        await asyncio.to_thread(self._producer.flush, FLUSH_S)

    async def _watch(self, name: str) -> None:
        target = self._config.probes.targets[name]
        watched = Watched.of(name, target)
        await asyncio.sleep(self._random.random() * self._config.probes.jitter * target.every_us / 1e6)
        while True:
            async with self._slots:
                watched = watched.ready(self._clock.now_us())
                error, latency_us = await probe(kinds()[target.kind], target, time.monotonic)
            before = watched.breaker.circuit
            watched, result = watched.after(error, latency_us, self._clock.now_us())
            self._tell(result, before)
            late = 1 + self._random.random() * self._config.probes.jitter
            wait_s = self._clock.real_s(watched.wait_us(result.time)) * late
            await asyncio.sleep(max(WAIT_MIN_S, wait_s))

    def _tell(self, result: ProbeResult, before: str) -> None:
        if result.circuit != before:
            log.warning(
                "circuit", target=result.target, before=before, after=result.circuit, error=result.error,
                error_ratio=result.error_ratio,
            )  # fmt: skip
        PROBED.labels(result.target, "ok" if result.ok else "failed").inc()
        CIRCUIT.labels(result.target).set(CIRCUITS[result.circuit])
        if result.latency_us is not None:
            LATENCY.labels(result.target).set(result.latency_us / 1e6)
        try:
            self._producer.produce(self._config.topic("probes"), result.encode(), key=result.target.encode())
        except (BufferError, KafkaException) as error:  # the next result says it again
            log.warning("a result was not told", target=result.target, error=str(error))
