"""`python -m bench.chaos [ROUNDS] [KILLS]`: chaos on a real Kafka and recovery after `kill -9`, into docs/reliability.md."""

from __future__ import annotations

import os
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from davy import logs
from davy.commands.run import children
from davy.supervisor import STEADY_S, Supervisor
from schemas.config import Config, load_config
from streams.topics import ensure_topics
from tests.streams.chaos import Chaos, Worker
from tests.streams.chaos_recount import Audit
from tests.streams.chaos_recovery import Watcher, shares
from tests.support.kafka import VERSION, KafkaBroker
from tests.support.steady_load import SteadyLoad
from tests.support.system import until

ROUNDS, KILLS, TAKEOVERS = 50, 20, 10
SEED = 20261125
FIRST_S = 4.0
WAIT_S = 60.0
PARTITIONS, EVENTS_PER_S = 4, 4000
TABLE = Path(__file__).parents[1] / "docs" / "reliability.md"
BEGIN, END = "<!-- chaos: written by python -m bench.chaos -->", "<!-- end of chaos -->"


@dataclass(slots=True)
class Recovery:
    """Seconds from the kill until the first, and until the last partition was told of more."""

    how: str
    first_s: list[float] = field(default_factory=list[float])
    last_s: list[float] = field(default_factory=list[float])


def main() -> int:
    """Run, write, print; the exit code is 1 if anything was wrong."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    kills = int(sys.argv[2]) if len(sys.argv) > 2 else KILLS
    with tempfile.TemporaryDirectory(prefix="davy-recovery-") as folder:
        recoveries = recover(Path(folder), kills, min(kills, TAKEOVERS))
    with tempfile.TemporaryDirectory(prefix="davy-chaos-") as folder, Chaos(Path(folder), SEED) as chaos:
        time.sleep(FIRST_S)
        for number in range(1, rounds + 1):
            chaos.round()
            _tell(f"round {number} of {rounds}")
        chaos.settle()
        found = chaos.check()
        chaos.stop()
    text = "\n".join([*_chaos_lines(rounds, chaos, found), "", *_recovery_lines(recoveries)])
    before, _, rest = TABLE.read_text("utf-8").partition(BEGIN)
    TABLE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}", "utf-8")
    print(text)
    for line in found.wrong:
        print(line, file=sys.stderr)
    return 1 if found.wrong else 0


# -- recovery --------------------------------------------------------------------------------------------------------


def recover(folder: Path, kills: int, takeovers: int) -> list[Recovery]:
    """One ingest under a supervisor with a spare; one that is started anew; and two, of which one dies for good."""
    logs.configure("bench", folder / "bench.log")
    broker = KafkaBroker(folder)
    broker.start()
    path = folder / "davy.yaml"
    path.write_text(
        f"kafka: {{bootstrap.servers: '{broker.bootstrap}'}}\nprefix: recovery.\ndata_dir: {folder / 'data'}\n"
        f"limits: {{event_partitions: {PARTITIONS}}}\n"
    )
    config = load_config(path)
    ensure_topics(config)
    load = SteadyLoad(broker.bootstrap, config.topic("events"), PARTITIONS, EVENTS_PER_S, SEED, steady=True)
    load.start()
    watcher = Watcher(config)
    watcher.start()
    try:
        return [
            _by_spare(folder, path, watcher, kills),
            _anew(folder, path, watcher, kills),
            _takeover(folder, path, config, watcher, takeovers),
        ]
    finally:
        watcher.stop()
        load.stop()
        broker.stop()


def _by_spare(folder: Path, config: Path, watcher: Watcher, kills: int) -> Recovery:
    found = Recovery("the supervisor lets its spare begin")
    (child,) = children(["ingest"], ["--config", str(config)], folder, spares=True)
    supervisor, stop = Supervisor([child]), threading.Event()
    with supervisor:
        watching = threading.Thread(target=supervisor.run, args=(stop,))
        watching.start()

        def kill() -> None:
            if child.process is not None:
                child.process.kill()

        for _ in range(kills):
            child.starts = child.starts[-1:]  # it ends at our hands: no reason to give up
            until(lambda: child.waiting is not None and child.waiting.poll() is None, WAIT_S, "there was a spare")
            until(lambda: time.monotonic() - child.starts[-1] > STEADY_S, WAIT_S, "it ran for a while")
            _measure(found, watcher, kill)
        stop.set()
        watching.join()
    return found


def _anew(folder: Path, config: Path, watcher: Watcher, kills: int) -> Recovery:
    found, worker = Recovery("a new process, imports and all"), Worker(folder, "anew", "ingest", config)
    worker.start()

    def kill() -> None:
        worker.kill()
        worker.start()

    for _ in range(kills):
        _measure(found, watcher, kill)
    assert worker.stop() == 0, worker.last_words()
    return found


def _takeover(folder: Path, path: Path, config: Config, watcher: Watcher, kills: int) -> Recovery:
    """Two share the partitions; one is killed and stays away until the other has taken over."""
    found = Recovery("another worker takes over (session 8 s)")
    workers: list[Worker] = []
    for name in ("a", "b"):
        own = folder / f"{name}.yaml"
        own.write_text(path.read_text().replace("kafka: {", f"kafka: {{client.id: {name}, "))
        workers.append(Worker(folder, name, "ingest", own))
        workers[-1].start()
    for number in range(kills):
        until(lambda: len(shares(config)) == len(workers), WAIT_S, "both had partitions")
        victim = workers[number % 2]
        _measure(found, watcher, victim.kill, lambda victim=victim: _of(victim.name, config))
        victim.start()
    for worker in workers:
        worker.stop()
    return found


def _of(client_id: str, config: Config) -> set[int]:
    (its,) = (partitions for (client, _), partitions in shares(config).items() if client == client_id)
    return its


def _measure(
    found: Recovery, watcher: Watcher, kill: Callable[[], None], which: Callable[[], set[int]] | None = None
) -> None:
    """Let all run for a while, kill, and wait for more of these partitions (default: all)."""
    until(lambda: watcher.moving(PARTITIONS), WAIT_S, "counts moved")
    time.sleep(random.uniform(2.0, 6.0))
    partitions = which() if which is not None else set(range(PARTITIONS))
    begun = time.monotonic()
    kill()
    first, last = watcher.standstill(partitions, begun)
    found.first_s.append(first)
    found.last_s.append(last)
    _tell(f"{found.how}: first {first:.2f} s, all {last:.2f} s")


# -- what is written ---------------------------------------------------------------------------------------------------


def _chaos_lines(rounds: int, chaos: Chaos, found: Audit) -> list[str]:
    lines = [
        f"`python -m bench.chaos {rounds}`, {datetime.now(UTC):%Y-%m-%d}, seed {SEED}, Kafka {VERSION}, {os.cpu_count()} "
        f"shared cores: {rounds} rounds, {sum(ledger.produced for ledger in found.ledgers.values()):,} events. "
        f"{found.identities:,} cells told of ranges, {found.repeated:,} of them more than once; with two contents: "
        f"**{found.conflicts}**; not what the log holds in their range: **{found.impure}**; windows that differ from the "
        f"recount: **{sum('windows differ' in line for line in found.wrong)}** of {found.windows}. When the load ended, both "
        f"groups had told all of it after {chaos.catch_up_s:.1f} s.",
        "",
        "| source partition | produced | counted | late | quarantined | dead | difference |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for p, ledger in sorted(found.ledgers.items()):
        rest = ledger.produced - ledger.counted - ledger.late - ledger.quarantined - ledger.dead
        figures = (ledger.produced, ledger.counted, ledger.late, ledger.quarantined, ledger.dead, rest)
        lines.append(f"| {p} | " + " | ".join(f"{figure:,}" for figure in figures) + " |")
    lines += ["", "| what was done | times |", "| :--- | ---: |"]
    return [*lines, *(f"| {name} | {count} |" for name, count in chaos.done.most_common())]


def _recovery_lines(recoveries: list[Recovery]) -> list[str]:
    lines = [
        f"From `kill -9` until a reader of `davy.deltas` sees a range not seen before: {PARTITIONS} partitions, "
        f"{EVENTS_PER_S:,} events/s, blocks of 65,536 that are read again from their beginning. Seconds.",
        "",
        "| after the kill | kills | first: p50 | p95 | max | all partitions: p50 | p95 | max |",
        "| :--- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for r in recoveries:
        figures = [*_spread(r.first_s), *_spread(r.last_s)]
        lines.append(f"| {r.how} | {len(r.first_s)} | " + " | ".join(f"{s:.2f}" for s in figures) + " |")
    return lines


def _spread(seconds: list[float]) -> tuple[float, float, float]:
    """Median, 95th percentile (the next larger observation), maximum."""
    ordered = sorted(seconds)
    return statistics.median(ordered), ordered[min(len(ordered) - 1, -(-95 * len(ordered) // 100) - 1)], ordered[-1]


def _tell(sentence: str) -> None:
    print(f"chaos: {sentence}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
