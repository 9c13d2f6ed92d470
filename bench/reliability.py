"""`python -m bench.reliability [SCHEDULES [PROCESSES]]`: seeded schedules of faults, counted into docs/reliability.md."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

from bench.document import rewrite
from tests.streams.simulation import World

SCHEDULES = 10_000
CHUNK = 25
TABLE = Path(__file__).parents[1] / "docs" / "reliability.md"
BEGIN = "<!-- schedules: written by python -m bench.reliability -->"


def survived(seeds: range) -> tuple[int, Counter[str], list[str]]:
    """Verdicts recounted and faults survived in these schedules, and what went wrong."""
    verdicts, faults, wrong = 0, Counter[str](), list[str]()
    for seed in seeds:
        world = World(seed)
        try:
            world.run()
            verdicts += world.verdicts
        except AssertionError as error:
            wrong.append(f"seed {seed}: {error}")
        faults.update(world.broker.survived)
    return verdicts, faults, wrong


def main() -> int:
    """Run them, on all cores unless told otherwise; the exit code is 1 if any went wrong."""
    schedules = int(sys.argv[1]) if len(sys.argv) > 1 else SCHEDULES
    processes = int(sys.argv[2]) if len(sys.argv) > 2 else os.cpu_count()
    begun = time.monotonic()
    verdicts, faults, wrong = 0, Counter[str](), list[str]()
    chunks = [range(start, min(start + CHUNK, schedules)) for start in range(0, schedules, CHUNK)]
    with get_context("spawn").Pool(processes) as pool:
        for done, part in enumerate(pool.imap_unordered(survived, chunks), 1):
            verdicts, faults, wrong = verdicts + part[0], faults + part[1], wrong + part[2]
            minutes = (time.monotonic() - begun) / 60
            left = minutes / done * (len(chunks) - done)
            print(f"reliability: {done * CHUNK} schedules, {len(wrong)} wrong, {left:.0f} min left", file=sys.stderr)
    for line in wrong:
        print(line)
    text = table(schedules, verdicts, faults, len(wrong))
    rewrite(BEGIN, text, TABLE)
    print(text)
    return 1 if wrong else 0


def table(schedules: int, verdicts: int, faults: Counter[str], wrong: int) -> str:
    """The counts as Markdown."""
    lines = [
        f"`python -m bench.reliability {schedules}`, {datetime.now(UTC):%Y-%m-%d}: seeds 0 to {schedules - 1:,}, "
        f"{verdicts:,} verdicts recounted at their own offsets, {sum(faults.values()):,} faults; schedules that ended with "
        f"anything wrong: **{wrong}**.",
        "",
        "| fault | times |",
        "| :--- | ---: |",
    ]
    lines += [f"| {name} | {count:,} |" for name, count in faults.most_common()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
