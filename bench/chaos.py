"""`python -m bench.chaos [ROUNDS]`: rounds of chaos on a real Kafka, counted into docs/reliability.md."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from bench.document import rewrite
from tests.streams.chaos import Chaos
from tests.streams.chaos_recount import Audit
from tests.support.kafka import VERSION

ROUNDS, SEED = 50, 20261125
FIRST_S = 4.0
"""For everybody to come up before the first round."""
TABLE = Path(__file__).parents[1] / "docs" / "reliability.md"
BEGIN = "<!-- chaos: written by python -m bench.chaos -->"


def main() -> int:
    """Run, write, print; the exit code is 1 if anything was wrong."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with tempfile.TemporaryDirectory(prefix="davy-chaos-") as folder, Chaos(Path(folder), SEED) as chaos:
        time.sleep(FIRST_S)
        for number in range(1, rounds + 1):
            chaos.round()
            print(f"chaos: round {number} of {rounds}", file=sys.stderr, flush=True)
        chaos.settle()
        found = chaos.check()
        chaos.stop()
    text = "\n".join(lines(rounds, chaos, found))
    rewrite(BEGIN, text, TABLE)
    print(text)
    for line in found.wrong:
        print(line, file=sys.stderr)
    return 1 if found.wrong else 0


def lines(rounds: int, chaos: Chaos, found: Audit) -> list[str]:
    """The counts as Markdown."""
    written = [
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
        written.append(f"| {p} | " + " | ".join(f"{figure:,}" for figure in figures) + " |")
    written += ["", "| what was done | times |", "| :--- | ---: |"]
    return [*written, *(f"| {name} | {count} |" for name, count in chaos.done.most_common())]


if __name__ == "__main__":
    sys.exit(main())
