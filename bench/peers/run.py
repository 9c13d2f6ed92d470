"""One round of one peer, and a table of many.

A peer's process tree is run twice: on a topic of `START_EVENTS`, which is starting, joining and ending, and on its own. The
CPU that the second took more than the first is what its events cost; the rate is over the time between its marks.
Both times its windows must equal the recount; if they do not, there is no figure.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.peers.configured import configured
from bench.peers.peer import Framing, Peer, Task, Windows
from bench.peers.timed import Failed, Took, timed
from bench.peers.topic import Events, difference, make, remove
from davy.bench import PARTITIONS

ROOT = Path(__file__).parents[2]
EXPERIMENTS = 200
START_EVENTS = 1_000
TIMEOUT_S = 900.0

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Figure:
    """What one round of one peer gave; `bare_ratio` is its rate to that of the bare consumer before it."""

    peer: str
    round: int
    events: int
    rate: float
    cpu_us: float
    start_s: float
    bare_ratio: float


@dataclass(slots=True)
class Topics:
    """Topics on one broker, made when they are first asked for, with their recounts."""

    bootstrap: str
    tell: Tell
    prefix: str = "events"
    end_us: int = field(default_factory=lambda: time.time_ns() // 1000)
    _made: dict[tuple[Framing, int], str] = field(default_factory=dict[tuple[Framing, int], str])
    _recounts: dict[int, Windows] = field(default_factory=dict[int, Windows])

    def get(self, framing: Framing, events: int) -> tuple[str, Windows]:
        """Name and windows of the topic of so many events."""
        seeded = Events(events, EXPERIMENTS, self.end_us)
        if (framing, events) not in self._made:
            name = f"{self.prefix}-{framing}-{events}"
            self.tell(f"writing {events:,} events ({framing})")
            seeded.write(configured(self._task(name, events, "fill", "")), name, framing)
            self._made[framing, events] = name
        if events not in self._recounts:
            self._recounts[events] = seeded.recount()
        return self._made[framing, events], self._recounts[events]

    def measure(self, name: str, peer: Peer, events: int) -> Took:
        """Run the peer on its topic of so many events and check what it counted; raises `Failed`."""
        topic, expected = self.get(peer.framing, events)
        with tempfile.TemporaryDirectory(prefix=f"davy-bench-{name}-") as folder:
            task = self._task(topic, events, f"{name}-{uuid.uuid4().hex[:8]}", folder)
            make(configured(task), task.output)
            try:
                took = timed(peer.command(task), Path(folder), {"PYTHONPATH": str(ROOT)}, TIMEOUT_S)
                wrong = difference(peer.windows(task), expected)
            finally:
                remove(configured(task), task.run)
        if wrong is not None:
            raise Failed(f"wrong: {wrong}")
        return took

    def _task(self, topic: str, events: int, run: str, folder: str) -> Task:
        return Task(self.bootstrap, topic, PARTITIONS, events, run, folder)


def figure(topics: Topics, name: str, peer: Peer, number: int, events: int, bare_rate: float | None) -> Figure:
    """One round of one peer, beside the bare consumer's rate (None: this is the bare consumer); raises `Failed`."""
    start, full = topics.measure(name, peer, START_EVENTS), topics.measure(name, peer, events)
    rate = events / full.work_s
    cpu_us = 1e6 * (full.cpu_s - start.cpu_s) / (events - START_EVENTS)
    return Figure(name, number, events, rate, cpu_us, full.wall_s - full.work_s, rate / (bare_rate or rate))


def kept(file: Path) -> list[Figure]:
    """Figures of a run that was broken off."""
    if not file.exists():
        return []
    return [Figure(**json.loads(line)) for line in file.read_text("utf-8").splitlines()]


def keep(file: Path, found: Figure) -> None:
    """Remember it, should the run be broken off."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as out:
        out.write(json.dumps(asdict(found)) + "\n")


def table(figures: Iterable[Figure], known: dict[str, Peer], failures: dict[str, str]) -> str:
    """Medians over the rounds as Markdown; a peer that failed in any round has its reason in place of figures."""
    lines = [
        "| peer | events | events/s | to bare | least to most | us CPU/event | start, s |",
        "| :--- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    by_peer: dict[str, list[Figure]] = {}
    for found in figures:
        by_peer.setdefault(found.peer, []).append(found)
    for name, peer in known.items():
        if name in failures:
            lines.append(f"| {peer.title} | | no figure: {failures[name]} | | | | |")
        elif name in by_peer:
            lines.append(f"| {peer.title} " + _cells(by_peer[name]))
    return "\n".join(lines)


def _cells(rounds: list[Figure]) -> str:
    median = statistics.median
    ratios = [found.bare_ratio for found in rounds]
    return (
        f"| {rounds[0].events:,} | {median(found.rate for found in rounds):,.0f} | {_ratio(median(ratios))} "
        f"| {_ratio(min(ratios))} to {_ratio(max(ratios))} | {median(found.cpu_us for found in rounds):.2f} "
        f"| {median(found.start_s for found in rounds):.1f} |"
    )


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value >= 0.1 else f"{value:.4f}"
