"""`python -m bench.scenarios`: scenarios with known truth, each through a rollout and through the watch after one; writes
docs/detection.md."""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from itertools import repeat

from analyzers.reasons import time
from bench.document import heading, rewrite
from bench.scenarios.play import Play, Played
from bench.scenarios.worlds import RATE, WORLDS, World
from bench.watching.__main__ import PAGE

BEGIN = "<!-- scenarios: written by python -m bench.scenarios -->"
MINUTES = 120
"""That the watch goes on once trouble began."""


def play(number: int, seed: int, promoted: bool) -> Played:
    """One run; a rollout that promotes is followed no further."""
    return Play(WORLDS[number], seed, promoted=promoted).run(MINUTES if promoted else 0)


def cells(world: World, runs: Sequence[Played]) -> tuple[str, str, str, str]:
    """Promoted, rolled back for what was wrong, delays of that, and false alarms."""
    delays = sorted(run.delay_s for run in runs if run.delay_s is not None)
    true = [delay for delay in delays if world.bad and delay >= 0]
    told = f"{time(int(1e6 * statistics.median(true)))}, at most {time(int(1e6 * true[-1]))}" if true else "-"
    promoted = sum(run.promoted_us is not None for run in runs)
    return str(promoted), f"{len(true)}" if world.bad else "-", told, str(len(delays) - len(true))


def main() -> None:
    """Play, then write."""
    parser = argparse.ArgumentParser(prog="python -m bench.scenarios", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=20, help="of each scenario, during a rollout and after one")
    asked = parser.parse_args()
    lines: list[str] = []
    with ProcessPoolExecutor(2) as pool:
        for number, world in enumerate(WORLDS):
            during, after = (
                list(pool.map(play, repeat(number), range(asked.runs), repeat(promoted, asked.runs)))
                for promoted in (False, True)
            )
            line = f"| {world.name} | " + " | ".join((*cells(world, during), *cells(world, after)[1:])) + " |"
            print(line, file=sys.stderr, flush=True)
            lines.append(line)
    columns = ("promoted", "rolled back", "after", "false alarms", "in the watch: rolled back", "after", "false alarms")
    text = "\n".join(
        [
            f"`{' '.join(['python -m bench.scenarios', *sys.argv[1:]])}`, {datetime.now(UTC):%Y-%m-%d}, Python "
            f"{platform.python_version()}: {asked.runs} runs of each, {RATE:g} requests/s, through the production aggregate, "
            "judge and rollout in simulated time. A trouble begins with the rollout, or ten minutes after the promotion of "
            f"what was good until then; {MINUTES} minutes of it are watched. Times are from its begin to the verdict.",
            "",
            *heading("scenario", columns),
            *lines,
        ]
    )
    rewrite(BEGIN, text, PAGE)
    print(text)


if __name__ == "__main__":
    main()
