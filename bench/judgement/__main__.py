"""`python -m bench.judgement`: measure the two promises and the delays, write docs/judgement.md and its plots.

Work is cut into chunks of rollouts; each finished chunk is one line of `.judgement/STATE.jsonl`, so that a run that was
stopped goes on where it was. STATE is a digest of the code that the results depend on: results of another state are never
mixed in. `--runs`, `--only` and `--report` (write from what there is) make it smaller.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.judgement import detection, report
from bench.judgement.promises import ALLOWED, BORDER, BURSTING, NOTHING, run, spec, tally
from bench.judgement.worlds import NONE, WORLDS, World

RUNS, DELAYS, CHUNK = 2000, 200, 100
ROOT = Path(__file__).parents[2]
MEASURED = (
    *(
        "arm",
        "bursts",
        "case",
        "clustering",
        "counts",
        "dispersion",
        "firsts",
        "gates",
        "histogram",
        "instances",
        "judgement",
        "kernels",
        "mean_sli",
        "means",
    ),
    *("piece", "sample_ratio", "scatter", "share_sli", "sli", "slis", "strata", "trial"),
)
PROMISES, COMPARED = ("worlds.py", "promises.py"), ("worlds.py", "promises.py", "rivals.py", "detection.py")
"""What results depend on: of the analyzers, and of this package for the promises and for what is compared with rivals."""
Job = tuple[str, int, Callable[[range], Any]]


def main() -> None:
    """Measure what is missing, then write."""
    parser = argparse.ArgumentParser(prog="python -m bench.judgement", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=RUNS, help="rollouts per world and promise")
    parser.add_argument("--delays", type=int, default=DELAYS, help="rollouts per harm")
    parser.add_argument("--only", default="", help="measure only what has this in its name")
    parser.add_argument("--report", action="store_true", help="measure nothing")
    parser.add_argument(
        "--carry", default="", metavar="STATE", help="take over what another state measured, if it is equal"
    )
    asked = parser.parse_args()
    if not asked.report:
        os.nice(5)
        (ROOT / ".judgement").mkdir(exist_ok=True)
        for kind, jobs in ((PROMISES, promises(asked.runs)), (COMPARED, compared(asked.delays))):
            wanted = [job for job in jobs if asked.only in job[0]]
            if asked.carry:
                carry(wanted, ROOT / ".judgement" / f"{asked.carry}.jsonl", results(kind))
            else:
                measure(wanted, results(kind))
    report.write([*lines(results(PROMISES)), *lines(results(COMPARED))])


def measure(jobs: list[Job], into: Path) -> None:
    """What is missing of them, a line for each chunk."""
    done = {(line["name"], line["first"]) for line in lines(into)}
    for name, runs, job in jobs:
        for first in range(0, runs, CHUNK):
            if (name, first) not in done:
                found = job(range(first, min(first + CHUNK, runs)))
                with into.open("a", encoding="utf-8") as out:
                    out.write(json.dumps({"name": name, "first": first, "found": found}) + "\n")
                print(f"{name}: {min(first + CHUNK, runs)} of {runs}", flush=True)


def carry(jobs: list[Job], before: Path, into: Path) -> None:
    """Take over what another state found of them, where a first chunk that is measured anew is equal to its own."""
    old = list(lines(before))
    for name, _, job in jobs:
        found = {line["first"]: line["found"] for line in old if line["name"] == name}
        if not found or any(line["name"] == name for line in lines(into)):
            continue
        again = json.loads(json.dumps(job(range(found[0]["runs"]))))
        print(f"{name}: {'equal' if again == found[0] else 'DIFFERS, measure it anew'}", flush=True)
        if again == found[0]:
            with into.open("a", encoding="utf-8") as out:
                out.writelines(
                    json.dumps({"name": name, "first": first, "found": found[first]}) + "\n" for first in found
                )


def results(kind: tuple[str, ...]) -> Path:
    """Where the results of the code as it is are kept."""
    return ROOT / ".judgement" / f"{state(kind)}.jsonl"


def state(kind: tuple[str, ...]) -> str:
    """Digest of what the results depend on."""
    files = [file for part in MEASURED for file in sorted((ROOT / "analyzers").glob(f"{part}/*.py"))]
    files += [file for part in MEASURED if (file := ROOT / "analyzers" / f"{part}.py").exists()]
    files += [Path(__file__).parent / part for part in kind]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def lines(results: Path) -> Iterator[dict[str, Any]]:
    """Finished chunks."""
    if results.exists():
        yield from map(json.loads, results.read_text("utf-8").splitlines())


def promises(runs: int) -> Iterator[Job]:
    """Both of them in every world."""
    for world in WORLDS:
        yield f"alpha/{world.name}", runs, lambda seeds, world=world: _alpha(world, seeds)
        yield f"beta/{world.name}", runs, lambda seeds, world=world: _beta(world, seeds)


def compared(delays: int) -> Iterator[Job]:
    """Delays and false alarms beside the rivals', and the time that a promotion takes."""
    for case in detection.CASES:
        yield f"delay/{case.name}", delays, lambda seeds, case=case: detection.measure(case, seeds)
    for label, effect in detection.RELEASES.items():
        yield (
            f"promote/{label}",
            delays,
            lambda seeds, effect=effect: detection.promotion(detection.CALM, effect, seeds),
        )
    for name, place in detection.TRAFFIC.items():
        for sli in detection.NORMAL:
            label = f"alarms/{name}/{sli}"
            yield label, 2 * delays, lambda seeds, place=place, sli=sli: detection.false_alarms(place, sli, seeds)


def _alpha(world: World, seeds: range) -> dict[str, Any]:
    experiment = spec(world, NOTHING)
    return tally([run(world, experiment, seed, NONE) for seed in seeds], [sli.name for sli in experiment.slis])


def _beta(world: World, seeds: range) -> dict[str, Any]:
    experiment = spec(world, ALLOWED)
    effect = BURSTING if world.objective is not None and world.frozen else BORDER
    return tally([run(world, experiment, seed, effect) for seed in seeds], [sli.name for sli in experiment.slis])


if __name__ == "__main__":
    main()
