"""`python -m bench.scaling [EVENTS]`: what one worker and one judge cost, and what a fleet would, into docs/scaling.md."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.document import rewrite
from bench.fleet import JUDGES, PARTITIONS_EACH, WORKERS, Fleet, run
from bench.kafka import own_kafka
from davy.bench import RATE
from tests.support.kafka import VERSION

EVENTS = 1_000_000
EXPERIMENTS = (200, 10_000)
TARGET_PER_S, TARGET_EXPERIMENTS = 1_000_000, 10_000
USED = 0.6
"""Share of a core that is planned for work; the rest is for catching up and for what else runs."""
WINDOW_S = 5
DOCUMENT = Path(__file__).parents[1] / "docs" / "scaling.md"
BEGIN = "<!-- figures: written by python -m bench.scaling -->"


def main() -> None:
    """Measure, then write the figures and the plan."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS
    with own_kafka() as broker:
        fleets = [run(broker.folder, broker.bootstrap, events, n) for n in EXPERIMENTS]
    text = "\n".join([*measured(events, fleets), "", *plan(fleets[-1])])
    rewrite(BEGIN, text, DOCUMENT)
    print(text)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a fleet's parts, from what was measured."""

    cpu_us_per_event: float
    worker_mb: float
    cells_per_event: float
    cells_per_worker_s: float
    bytes_per_event: float
    bytes_per_cell: float
    fold_us_per_cell: float
    round_us_per_evaluation: float
    judge_kb_per_experiment: float
    state_bytes_per_experiment: float

    @classmethod
    def of(cls, fleet: Fleet) -> Cost:
        """From one fleet's figures."""
        w, j, n = fleet.workers, fleet.judges, fleet.experiments
        events, cells = sum(x.events for x in w), sum(x.cells for x in j)
        return cls(
            1e6 * sum(x.cpu_s for x in w) / events,
            max(x.memory_mb for x in w),
            cells / events,
            cells / sum(x.wall_s for x in w),
            sum(x.bytes for x in j) / events,
            sum(x.bytes for x in j) / cells,
            1e6 * sum(x.fold_s for x in j) / cells,
            1e6 * sum(x.round_s for x in j) / max(1, sum(x.evaluations for x in j)),
            1024 * sum(x.memory_mb for x in j) / n,
            sum(x.state_bytes for x in j) / n,
        )


def measured(events: int, fleets: list[Fleet]) -> list[str]:
    """The table of costs."""
    lines = [
        f"`python -m bench.scaling {events}`, {datetime.now(UTC):%Y-%m-%d}: {events:,} events of 12 fields at {RATE:,} per "
        f"second of event time, {WORKERS} workers of {PARTITIONS_EACH} partitions and {JUDGES} judges one after the other, "
        f"Kafka {VERSION}, Python {platform.python_version()}, {os.cpu_count()} shared cores. The judges' windows hold "
        "exactly the events that were written.",
        "",
        "| | " + " | ".join(f"{f.experiments:,} experiments" for f in fleets) + " |",
        "| :--- |" + " ---: |" * len(fleets),
    ]
    costs = [Cost.of(fleet) for fleet in fleets]
    table = {
        "ingest, us CPU per event (Kafka client and deltas included)": [f"{c.cpu_us_per_event:.2f}" for c in costs],
        "ingest, memory beyond start, MB per worker": [f"{c.worker_mb:.0f}" for c in costs],
        "cells told per event": [f"{c.cells_per_event:.3f}" for c in costs],
        "cells told per second and worker, at full speed": [f"{c.cells_per_worker_s:,.0f}" for c in costs],
        "delta bytes per event": [f"{c.bytes_per_event:.0f}" for c in costs],
        "delta bytes per cell": [f"{c.bytes_per_cell:.0f}" for c in costs],
        "judge, us CPU per cell (decoded, folded, counted)": [f"{c.fold_us_per_cell:.0f}" for c in costs],
        "judge, us CPU per experiment and window (3 SLIs)": [f"{c.round_us_per_evaluation:.0f}" for c in costs],
        "judge, memory, KB per experiment": [f"{c.judge_kb_per_experiment:.0f}" for c in costs],
        "judge, saved state, bytes per experiment": [f"{c.state_bytes_per_experiment:.0f}" for c in costs],
        "saving the state, s CPU in all": [f"{sum(x.state_s for x in f.judges):.2f}" for f in fleets],
    }
    return [*lines, *(f"| {name} | " + " | ".join(figures) + " |" for name, figures in table.items())]


def plan(fleet: Fleet) -> list[str]:
    """What a million events a second and ten thousand experiments need, from these costs."""
    cost = Cost.of(fleet)
    workers = -(-TARGET_PER_S * cost.cpu_us_per_event / 1e6 // USED)
    cells_per_s = workers * cost.cells_per_worker_s
    folding = cells_per_s * cost.fold_us_per_cell / 1e6
    judging = TARGET_EXPERIMENTS / WINDOW_S * cost.round_us_per_evaluation / 1e6
    judges = -(-(folding + judging) // USED)
    traffic = cells_per_s * cost.bytes_per_cell
    return [
        f"For {TARGET_PER_S:,} events/s and {TARGET_EXPERIMENTS:,} experiments, planning {USED:.0%} of each core:",
        "",
        "| | |",
        "| :--- | ---: |",
        f"| ingest workers, a core each | {workers:.0f} |",
        f"| source partitions, at least two for each worker | {2 * workers:.0f} |",
        f"| memory of all workers | {workers * (cost.worker_mb + 110) / 1024:.1f} GB |",
        f"| cells told | {cells_per_s:,.0f} /s |",
        f"| deltas | {traffic / 1e6:.0f} MB/s, {traffic / TARGET_EXPERIMENTS:,.0f} bytes/s per experiment |",
        f"| cores for folding them | {folding:.1f} |",
        f"| cores for judging every window | {judging:.1f} |",
        f"| judges, a delta partition and a core each | {judges:.0f} |",
        f"| memory of all judges | {TARGET_EXPERIMENTS * cost.judge_kb_per_experiment / 1024**2:.1f} GB |",
        f"| saved state | {TARGET_EXPERIMENTS * cost.state_bytes_per_experiment / 1e6:.0f} MB |",
    ]


if __name__ == "__main__":
    main()
