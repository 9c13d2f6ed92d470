"""`python -m bench.failsafe [--full] [--record FILE] [PART:MODE...]`: the fail-safe matrix into docs/reliability.md.

Without arguments each fault alone, with `--full` a sample of pairs, too; named cells only where some are named. What was seen
is kept in the record, and its cells are not run again: a long matrix may be run in parts.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from bench.document import rewrite
from bench.failsafe.cell import FAULT_S, Matrix, Seen
from bench.failsafe.faults import Fault, pairs, singles
from bench.failsafe.system import System
from bench.failsafe.traffic import SERVICES, STATES
from tests.support.kafka import VERSION

PAIRS, SEED = 100, 20261126
CELLS_MAX = 24
"""Of one system; then a new one begins."""
TABLE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN = "<!-- failsafe: written by python -m bench.failsafe -->"


def main() -> int:
    """Run, write, print; the exit code is 1 if anything was wrong."""
    options = _options()
    record = Path(options.record) if options.record else None
    seen = _read(record)
    for faults in _wanted(options, seen):
        for found in run(faults):
            seen.append(found)
            print(told(found), file=sys.stderr, flush=True)
            if record is not None:
                with record.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(found)) + "\n")
    text = "\n".join(lines(seen))
    if not options.at_most:
        rewrite(BEGIN, text, TABLE)
    print(text)
    return 1 if any(found.wrong for found in seen) else 0


def run(cells: Sequence[tuple[Fault, ...]]) -> Iterator[Seen]:
    """Cells on one system, one after the other; after one that went wrong on a new system."""
    left = list(cells)
    while left:
        clock = any(fault.part == "clock" for cell in left for fault in cell)
        with (
            tempfile.TemporaryDirectory(prefix="davy-failsafe-") as folder,
            System(Path(folder), SERVICES, clock) as system,
        ):
            matrix = Matrix(system)
            matrix.begin()
            for _ in range(min(len(left), CELLS_MAX)):
                found = matrix.run(left.pop(0))
                yield found
                if found.wrong:
                    break
            matrix.end()


def lines(seen: Sequence[Seen]) -> list[str]:
    """What was seen, as Markdown."""
    alone, both = (
        [found for found in seen if len(found.faults) == 1],
        [found for found in seen if len(found.faults) > 1],
    )
    wrong = [found for found in seen if found.wrong]
    written = [
        f"`python -m bench.failsafe`, {_days(seen)}, Kafka {VERSION}, {os.cpu_count()} shared cores: "
        f"{len(alone)} of {len(singles())} faults alone and {len(both)} of {PAIRS} pairs (seed {SEED}), each {FAULT_S:g} s, "
        f"with rollouts in all {STATES} states. Promotions that nobody had reason for: **{sum(f.promotions for f in seen)}**; "
        f"such rollbacks: **{sum(f.rollbacks for f in seen)}**; rounds in which anything was wrong: **{len(wrong)}**.",
        "",
        "| fault | HOLD after, s | oldest events behind another word, s | all well again after, s | wrong |",
        "| :--- | ---: | ---: | ---: | :--- |",
    ]  # fmt: skip
    written += [_row(str(found.faults[0]), found) for found in alone]
    if both:
        written.append(_row(f"pairs, the worst of {len(both)}", _worst(both)))
    return written + [_row(_name(found), found) for found in both if found.wrong]


def _days(seen: Sequence[Seen]) -> str:
    days = sorted({found.on for found in seen})
    return " to ".join(days if len(days) < 3 else (days[0], days[-1]))


def told(found: Seen) -> str:
    """For whoever waits."""
    held = "went on" if found.held_s is None else f"HOLD after {found.held_s:.1f} s"
    return f"{_name(found)}: {held}, well after {found.recovery_s:.1f} s; {'; '.join(found.wrong) or 'nothing wrong'}"


def _name(found: Seen) -> str:
    return " and ".join(map(str, found.faults))


def _row(name: str, found: Seen) -> str:
    held = "goes on" if found.held_s is None else f"{found.held_s:.1f}"
    return f"| {name} | {held} | {found.stale_s:.1f} | {found.recovery_s:.1f} | {'; '.join(found.wrong) or 'nothing'} |"


def _worst(seen: Sequence[Seen]) -> Seen:
    held = [found.held_s for found in seen if found.held_s is not None]
    return Seen(
        (), "", max(held, default=None), max(found.stale_s for found in seen), max(found.recovery_s for found in seen),
        wrong=[f"{sum(bool(found.wrong) for found in seen)} of {len(seen)}"] if any(f.wrong for f in seen) else [],
    )  # fmt: skip


def _wanted(options: argparse.Namespace, seen: Sequence[Seen]) -> list[list[tuple[Fault, ...]]]:
    """Cells that are not in the record, by system: the clock's need processes of their own."""
    cells: list[tuple[Fault, ...]] = [(fault,) for fault in singles()]
    if options.full:
        cells += pairs(PAIRS, SEED)
    if options.cells:
        cells = [(Fault(*cell.split(":")),) for cell in options.cells]
    there = {found.faults for found in seen}
    left = [cell for cell in cells if cell not in there][: options.at_most]
    wrong_clock = [cell for cell in left if any(fault.part == "clock" for fault in cell)]
    return [group for group in ([cell for cell in left if cell not in wrong_clock], wrong_clock) if group]


def _read(record: Path | None) -> list[Seen]:
    if record is None or not record.exists():
        return []
    found: list[Seen] = []
    for line in record.read_text("utf-8").splitlines():
        fields = json.loads(line)
        fields["faults"] = tuple(Fault(**fault) for fault in fields["faults"])
        found.append(Seen(**fields))
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.failsafe", description=__doc__)
    parser.add_argument("cells", nargs="*", metavar="PART:MODE", help="only these, like 'judge:frozen'")
    parser.add_argument("--full", action="store_true", help=f"also {PAIRS} pairs")
    parser.add_argument("--record", help="a file of what was seen; its cells are not run again")
    parser.add_argument("--at-most", type=int, help="run so many cells now, and write no table")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
