"""`make bench`: Davy's first stage against a bare consumer on a real Kafka, written to docs/benchmarks.md."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from bench.document import machine, rewrite
from bench.kafka import own_kafka
from davy.bench import Rounds, measure, ratio, speed
from davy.commands.bench import configured

EVENTS, ROUNDS = 3_000_000, 3
EXPERIMENTS = (10, 200, 1000)
BEGIN = "<!-- first stage: written by make bench -->"


def main() -> None:
    """Measure, then replace the table in the document."""
    where = machine()
    with own_kafka() as broker:
        found = {n: measure(configured(broker.bootstrap), EVENTS, n, ROUNDS, _tell, tuned=True) for n in EXPERIMENTS}
    text = table(found, where)
    rewrite(BEGIN, text)
    print(text)


def table(found: dict[int, Rounds], where: str) -> str:
    """The figures as Markdown."""
    lines = [
        f"`make bench`, {datetime.now(UTC):%Y-%m-%d}: {EVENTS:,} events of 12 fields, 4 partitions, "
        f"{where}; medians of {ROUNDS} rounds.",
        "",
        "| experiments | bare, events/s | Davy, events/s | ratio | bare, us CPU/event | Davy, us CPU/event "
        "| bare with Davy's pause, events/s | ratio to it |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for n, rounds in found.items():
        r = rounds.result()
        lines.append(
            f"| {n:,} | {r.bare:,.0f} | {r.davy:,.0f} | {r.ratio:.2f} | {r.bare_cpu_us_per_event:.2f} "
            f"| {r.cpu_us_per_event:.2f} | {speed(rounds.tuned):,.0f} | {ratio(rounds.davy, rounds.tuned):.2f} |"
        )
    return "\n".join(lines)


def _tell(sentence: str) -> None:
    print(f"bench: {sentence}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
