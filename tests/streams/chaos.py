"""Rounds of chaos on the real thing: ingest and judge as processes, a Kafka behind Toxiproxy, events coming all the time.

Two workers of one group, a worker of a second group that knows nothing of the first and writes the same ranges to the same
topic, and a judge. Every round spoils the network and kills, freezes, stops or adds processes, as a seeded generator will have
it; `settle` lets everybody catch up. What is left on Kafka is counted in `chaos_recount`.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from schemas.config import Config, load_config
from streams.embedded import die_with_parent
from streams.topics import ensure_topics
from tests.streams.chaos_recount import Audit, audit, caught_up, differing, fates, recounted_windows, windows
from tests.support.kafka import KafkaBroker
from tests.support.steady_load import SteadyLoad
from tests.support.system import until
from tests.support.toxiproxy import Toxiproxy

PARTITIONS = 4
BLOCK = 4096
EVENTS_PER_S = 2000
SESSION_S = 8.0
CATCH_UP_S = 180.0
STOP_S = 30.0
DAVY = ("-m", "davy")
CONFIG = """\
kafka: {{bootstrap.servers: '{bootstrap}'{more}}}
prefix: chaos.
data_dir: {data_dir}
limits: {{block_records: {block}, event_partitions: {partitions}, delta_partitions: 2}}
"""


class Worker:
    """One process of a role."""

    def __init__(self, folder: Path, name: str, role: str, config: Path, python: Sequence[str] = DAVY) -> None:
        self.name, self.role, self.config = name, role, config
        self.log = folder / f"{name}.log"
        self.build(python)
        self.process: subprocess.Popen[bytes] | None = None

    def build(self, python: Sequence[str]) -> None:
        """What it runs from its next start on."""
        self.command = [sys.executable, *python, "run", self.role, "--config", str(self.config)]

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, preexec_fn=die_with_parent)  # noqa: PLW1509

    def send(self, number: signal.Signals) -> None:
        if self.process is not None and self.running:
            self.process.send_signal(number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()
        self.process = None

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        self.send(signal.SIGTERM)
        code = 0 if self.process is None else self.process.wait(STOP_S)
        self.process = None
        return code

    def last_words(self) -> str:
        return self.log.read_text()[-1500:]


class Chaos:
    """Everything that runs; open while the context is."""

    def __init__(
        self, folder: Path, seed: int, python: Sequence[str] = DAVY, deeds: Sequence[Deed] = (), network: bool = True,
        workers: int = 2, second_group: bool = True, judge: Sequence[str] = DAVY,
    ) -> None:  # fmt: skip
        self.folder, self.random = folder, random.Random(seed)
        self.toxiproxy = Toxiproxy(folder)
        self.python, self.judges, self.deeds = python, judge, deeds or DEEDS
        self.networks = list(NETWORK) if network else [GOOD]
        self.workers_at_first, self.groups = workers, 2 if second_group else 1
        self.done = Counter[str]()
        self.catch_up_s = 0.0

    def __enter__(self) -> Self:
        self.toxiproxy.__enter__()
        self.kafka = KafkaBroker(self.folder, self.toxiproxy.listen)
        self.kafka.start()
        self.toxiproxy.forward(self.kafka.behind)
        self.config = self._config("direct", self.kafka.bootstrap)[1]
        ensure_topics(self.config)
        proxied = f"127.0.0.1:{self.toxiproxy.listen}"
        first, second = self._config("first", proxied)[0], self._config("second", proxied, ", group.id: second")[0]
        self.first = first
        self.made = 0
        self.workers = [self.worker(first) for _ in range(self.workers_at_first)]
        self.spare = self.worker(first)
        self.second = Worker(self.folder, "second", "ingest", second, self.python)
        self.judge = Worker(self.folder, "judge", "judge", first, self.judges)
        self.load = SteadyLoad(
            self.kafka.bootstrap, self.config.topic("events"), PARTITIONS, EVENTS_PER_S, self.random.randrange(1 << 30)
        )
        for worker in self.wanted:
            worker.start()
        self.load.start()
        return self

    def __exit__(self, *_: object) -> None:
        for worker in (*self.wanted, self.spare):
            worker.kill()
        self.toxiproxy.__exit__()
        self.kafka.kill()

    @property
    def wanted(self) -> list[Worker]:
        """Who should run between rounds."""
        return [*self.workers, self.judge] if self.groups == 1 else [*self.workers, self.second, self.judge]

    def worker(self, config: Path) -> Worker:
        """One more of the first group, not started."""
        self.made += 1
        return Worker(self.folder, f"first-{self.made}", "ingest", config, self.python)

    def _config(self, name: str, bootstrap: str, more: str = "") -> tuple[Path, Config]:
        path = self.folder / f"{name}.yaml"
        data = self.folder / f"data-{name}"
        path.write_text(
            CONFIG.format(bootstrap=bootstrap, more=more, data_dir=data, block=BLOCK, partitions=PARTITIONS)
        )
        return path, load_config(path)

    # -- rounds ----------------------------------------------------------------------------------------------------

    def round(self) -> None:
        """Spoil the network, do a deed meanwhile, heal, and let them breathe for a moment."""
        network, deed = self.random.choice(self.networks), self.random.choice(self.deeds)
        self.done[network] += 1
        self.done[deed.__name__.replace("_", " ")] += 1
        NETWORK[network](self.toxiproxy)
        self._sleep(0.1, 1.5)
        deed(self)
        self._sleep(0.3, 2.0)
        self.toxiproxy.heal()
        self._restore()
        self._sleep(0.5, 3.0)

    def settle(self) -> None:
        """End the load and wait until both groups have told all of it. They begin again: so each tells its open blocks whole,
        and there are ranges that both have told, however slow the machine is."""
        self.toxiproxy.heal()
        self._restore()
        self.load.stop()
        for worker in (*self.workers, self.second):
            worker.kill()
        self.log = fates(self.config)
        ends = {p: len(records) for p, records in self.log.items()}
        begun = time.monotonic()

        def done() -> bool:
            self._restore()
            time.sleep(1)
            return caught_up(self.config, ends, self.groups)

        until(done, CATCH_UP_S, f"all of it was told by each group; {self.folder} has their logs")
        self.catch_up_s = time.monotonic() - begun

    def check(self) -> Audit:
        """What is on Kafka now, recounted; the windows of the judge, too."""
        recounted = recounted_windows(self.log)

        def equal() -> bool:
            self._restore()
            return windows(self.config) == recounted

        deadline = time.monotonic() + CATCH_UP_S
        while not equal() and time.monotonic() < deadline:
            time.sleep(1)
        result = audit(self.config, self.log)
        result.windows = len(recounted)
        if found := differing(windows(self.config), recounted):
            result.wrong.append(found)
        result.wrong += [f"the judge: {line}" for line in self._alarms()]
        return result

    def stop(self) -> None:
        """All processes, in order; each must end well."""
        for worker in self.wanted:
            assert worker.stop() == 0, f"{worker.name}: {worker.last_words()}"

    def _alarms(self) -> list[str]:
        return [line for line in self.judge.log.read_text().splitlines() if "two contents" in line]

    def _sleep(self, least: float, most: float) -> None:
        time.sleep(self.random.uniform(least, most))

    def _restore(self) -> None:
        """Start again who ended."""
        for worker in self.wanted:
            if not worker.running:
                if worker.process is not None:
                    self.done["ended by itself"] += 1
                worker.start()

    # -- deeds -----------------------------------------------------------------------------------------------------

    def kill_a_worker(self) -> None:
        self.random.choice(self.workers).kill()

    def kill_both_workers(self) -> None:
        for worker in self.workers:
            worker.kill()

    def kill_the_second_group(self) -> None:
        self.second.kill()

    def kill_the_judge(self) -> None:
        self.judge.kill()

    def kill_all(self) -> None:
        for worker in self.wanted:
            worker.kill()

    def kill_again_and_again(self) -> None:
        worker = self.random.choice([*self.workers, self.second])
        for _ in range(3):
            worker.kill()
            worker.start()
            self._sleep(0.5, 3.0)

    def freeze_beyond_the_session(self) -> None:
        """Its partitions go to another; then it wakes up, with what it had fetched and counted before."""
        worker = self.random.choice(self.workers)
        worker.send(signal.SIGSTOP)
        self._sleep(0.5, 1.0)
        self.toxiproxy.heal()
        self._sleep(SESSION_S + 2, SESSION_S + 4)
        worker.send(signal.SIGCONT)

    def freeze_for_a_moment(self) -> None:
        worker = self.random.choice([*self.workers, self.second])
        worker.send(signal.SIGSTOP)
        self._sleep(0.5, 3.0)
        worker.send(signal.SIGCONT)

    def rebalance(self) -> None:
        """A worker joins; a moment later it leaves as one that is killed, or in order."""
        self.spare.start()
        self._sleep(2.5, 6.0)
        if self.random.random() < 0.5:
            self.spare.kill()
        else:
            self.spare.stop()

    def restart_a_worker(self) -> None:
        worker = self.random.choice([*self.workers, self.second])
        worker.stop()

    def kill_kafka(self) -> None:
        self.kafka.kill()
        self._sleep(0.1, 1.0)
        self.kafka.start()


Deed = Callable[[Chaos], None]
DEEDS: tuple[Deed, ...] = (
    Chaos.kill_a_worker, Chaos.kill_both_workers, Chaos.kill_the_second_group, Chaos.kill_the_judge, Chaos.kill_all,
    Chaos.kill_again_and_again, Chaos.freeze_beyond_the_session, Chaos.freeze_for_a_moment, Chaos.rebalance,
    Chaos.restart_a_worker, Chaos.kill_kafka,
)  # fmt: skip
GOOD = "network: good"
NETWORK: dict[str, Callable[[Toxiproxy], None]] = {
    GOOD: lambda proxy: None,
    "network: cut": lambda proxy: proxy.cut(),
    "network: reset": lambda proxy: proxy.toxic("reset_peer", "downstream", timeout=50),
    "network: slow answers": lambda proxy: proxy.toxic("latency", "downstream", latency=300, jitter=200),
    "network: slow requests": lambda proxy: proxy.toxic("latency", "upstream", latency=300, jitter=200),
    "network: 100 KB/s": lambda proxy: proxy.toxic("bandwidth", "downstream", rate=100),
    "network: answers lost": lambda proxy: proxy.toxic("timeout", "downstream", timeout=0),
    "network: in slices": lambda proxy: proxy.toxic(
        "slicer", "downstream", average_size=300, size_variation=200, delay=200
    ),
}
"""What is done to the connections between all Davy processes and Kafka; events come around the proxy."""
