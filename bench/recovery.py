"""`python -m bench.recovery [KILLS]`: how long counts stand still after `kill -9`, written to docs/reliability.md."""

from __future__ import annotations

import os
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bench.document import rewrite
from bench.kafka import own_kafka
from davy.commands.run import children
from davy.supervisor import STEADY_S, Supervisor
from schemas.config import Config, load_config
from streams.topics import ensure_topics
from tests.streams.chaos import Worker
from tests.streams.chaos_recovery import Watcher, shares
from tests.support.kafka import VERSION
from tests.support.steady_load import SteadyLoad
from tests.support.system import until

KILLS, SEED = 20, 20261125
"""With a spare; half as many without, a quarter as many takeovers."""
BLOCK, SMALL_BLOCK = 65_536, 16_384
WAIT_S = 60.0
PARTITIONS, EVENTS_PER_S = 4, 4000
TABLE = Path(__file__).parents[1] / "docs" / "reliability.md"
BEGIN = "<!-- recovery: written by python -m bench.recovery -->"


@dataclass(slots=True)
class Recovery:
    """Seconds from the kill until the first, and until the last partition was told of more."""

    how: str
    first_s: list[float] = field(default_factory=list[float])
    last_s: list[float] = field(default_factory=list[float])


def main() -> None:
    """Kill, measure, write, print."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else KILLS
    with own_kafka() as broker:
        found = [
            *_with_blocks(broker.folder, broker.bootstrap, BLOCK, (_by_spare, _takeover, _anew), kills),
            *_with_blocks(broker.folder, broker.bootstrap, SMALL_BLOCK, (_by_spare,), kills),
        ]
    text = "\n".join(lines(found))
    rewrite(BEGIN, text, TABLE)
    print(text)


Ways = tuple[Callable[[Path, Path, Watcher, int], Recovery], ...]


def _with_blocks(folder: Path, bootstrap: str, block: int, ways: Ways, kills: int) -> list[Recovery]:
    """Each way of coming back, under load, with blocks of that size."""
    path = folder / f"{block}.yaml"
    path.write_text(
        f"kafka: {{bootstrap.servers: '{bootstrap}'}}\nprefix: recovery-{block}.\ndata_dir: {folder / str(block)}\n"
        f"limits: {{event_partitions: {PARTITIONS}, block_records: {block}}}\n"
    )
    config = load_config(path)
    ensure_topics(config)
    load = SteadyLoad(bootstrap, config.topic("events"), PARTITIONS, EVENTS_PER_S, SEED, steady=True)
    load.start()
    watcher = Watcher(config)
    watcher.start()
    try:
        return [way(folder, path, watcher, kills) for way in ways]
    finally:
        watcher.stop()
        load.stop()


def _by_spare(folder: Path, config: Path, watcher: Watcher, kills: int) -> Recovery:
    found = Recovery(f"the supervisor lets its spare begin; blocks of {_block(config):,}")
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
    found, worker = (
        Recovery(f"a new process, imports and all; blocks of {_block(config):,}"),
        Worker(folder, "anew", "ingest", config),
    )
    worker.start()

    def kill() -> None:
        worker.kill()
        worker.start()

    for _ in range(max(1, kills // 2)):
        _measure(found, watcher, kill)
    assert worker.stop() == 0, worker.last_words()
    return found


def _takeover(folder: Path, path: Path, watcher: Watcher, kills: int) -> Recovery:
    """Two share the partitions; one is killed and stays away until the other has taken over."""
    found, config = Recovery(f"another worker takes over (session 8 s); blocks of {_block(path):,}"), load_config(path)
    until(lambda: not shares(config), WAIT_S, "the members before them had left")  # else a broker keeps their names
    workers: list[Worker] = []
    for name in ("a", "b"):
        own = folder / f"{name}.yaml"
        own.write_text(path.read_text().replace("kafka: {", f"kafka: {{client.id: {name}, "))
        workers.append(Worker(folder, name, "ingest", own))
        workers[-1].start()
    for number in range(max(1, kills // 4)):
        until(lambda: len(shares(config)) == len(workers), WAIT_S, "both had partitions")
        victim = workers[number % 2]
        _measure(found, watcher, victim.kill, lambda victim=victim: _of(victim.name, config))
        victim.start()
    for worker in workers:
        worker.stop()
    return found


def _of(client_id: str, config: Config) -> set[int]:
    """Partitions of the worker of that name."""
    its: list[set[int]] = []

    def known() -> bool:
        its[:] = [partitions for (client, _), partitions in shares(config).items() if client == client_id]
        return len(its) == 1

    until(known, WAIT_S, f"{client_id} had partitions")
    return its[0]


def _measure(
    found: Recovery, watcher: Watcher, kill: Callable[[], None], which: Callable[[], set[int]] | None = None
) -> None:
    """Let all run for a while, kill, and wait for more of these partitions (default: all)."""
    until(lambda: watcher.moving(PARTITIONS), WAIT_S, "counts moved")
    time.sleep(random.uniform(0.5, 3.0))
    partitions = which() if which is not None else set(range(PARTITIONS))
    begun = time.monotonic()
    kill()
    first, last = watcher.standstill(partitions, begun)
    found.first_s.append(first)
    found.last_s.append(last)
    _tell(f"{found.how}: first {first:.2f} s, all {last:.2f} s")


def _block(path: Path) -> int:
    return load_config(path).limits.block_records


# -- what is written ---------------------------------------------------------------------------------------------------


def lines(recoveries: list[Recovery]) -> list[str]:
    """The figures as Markdown."""
    written = [
        f"`python -m bench.recovery`, {datetime.now(UTC):%Y-%m-%d}, Kafka {VERSION}: from `kill -9` until a reader of "
        f"`davy.deltas` sees a range not seen before; {PARTITIONS} partitions, {EVENTS_PER_S:,} events/s, open blocks are "
        f"read again from their beginning; niceness {os.nice(0)}, load average {os.getloadavg()[2]:.0f} on "
        f"{os.cpu_count()} shared cores. Seconds.",
        "",
        "| after the kill | kills | first: p50 | p95 | max | all partitions: p50 | p95 | max |",
        "| :--- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for r in recoveries:
        figures = [*_spread(r.first_s), *_spread(r.last_s)]
        written.append(f"| {r.how} | {len(r.first_s)} | " + " | ".join(f"{s:.2f}" for s in figures) + " |")
    return written


def _spread(seconds: list[float]) -> tuple[float, float, float]:
    """Median, 95th percentile (the next larger observation), maximum."""
    ordered = sorted(seconds)
    return statistics.median(ordered), ordered[min(len(ordered) - 1, -(-95 * len(ordered) // 100) - 1)], ordered[-1]


def _tell(sentence: str) -> None:
    print(f"recovery: {sentence}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
