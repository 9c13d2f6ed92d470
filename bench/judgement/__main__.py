"""`python -m bench.judgement`: measure the two promises and the delays, write docs/judgement.md and its plots.

Work is cut into chunks of rollouts; each finished chunk is one line of `.judgement/STATE.jsonl`, so that a run that was
stopped goes on where it was. STATE is a digest of the analyzers and of the worlds: results of another state are never
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
from bench.judgement.promises import ALLOWED, BORDER, NOTHING, run, spec, tally
from bench.judgement.worlds import NONE, WORLDS, World

RUNS, DELAYS, CHUNK = 2000, 200, 100
ROOT = Path(__file__).parents[2]
MEASURED = (
    *("arm", "bursts", "clustering", "counts", "dispersion", "gates", "histogram", "judgement", "mean_sli", "means"),
    *("piece", "sample_ratio", "scatter", "share_sli", "sli", "slis", "trial"),
)
WORLD = ("worlds.py", "promises.py", "rivals.py")
"""What results depend on: of the analyzers, and of this."""
Job = tuple[str, int, Callable[[range], Any]]


def main() -> None:
    """Measure what is missing, then write."""
    parser = argparse.ArgumentParser(prog="python -m bench.judgement", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=RUNS, help="rollouts per world and promise")
    parser.add_argument("--delays", type=int, default=DELAYS, help="rollouts per harm")
    parser.add_argument("--only", default="", help="measure only what has this in its name")
    parser.add_argument("--report", action="store_true", help="measure nothing")
    asked = parser.parse_args()
    results = ROOT / ".judgement" / f"{state()}.jsonl"
    results.parent.mkdir(exist_ok=True)
    if not asked.report:
        os.nice(5)
        done = {(line["name"], line["first"]) for line in lines(results)}
        for name, runs, job in jobs(asked.runs, asked.delays):
            for first in range(0, runs, CHUNK):
                if asked.only in name and (name, first) not in done:
                    found = job(range(first, min(first + CHUNK, runs)))
                    with results.open("a", encoding="utf-8") as out:
                        out.write(json.dumps({"name": name, "first": first, "found": found}) + "\n")
                    print(f"{name}: {min(first + CHUNK, runs)} of {runs}", flush=True)
    report.write(list(lines(results)))


def state() -> str:
    """Digest of what the results depend on."""
    files = [file for part in MEASURED for file in sorted((ROOT / "analyzers").glob(f"{part}/*.py"))]
    files += [ROOT / "analyzers" / f"{part}.py" for part in MEASURED if part != "slis"]
    files += [Path(__file__).parent / part for part in WORLD]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def lines(results: Path) -> Iterator[dict[str, Any]]:
    """Finished chunks."""
    if results.exists():
        yield from map(json.loads, results.read_text("utf-8").splitlines())


def jobs(runs: int, delays: int) -> Iterator[Job]:
    """Everything there is to measure."""
    for world in WORLDS:
        yield f"alpha/{world.name}", runs, lambda seeds, world=world: _alpha(world, seeds)
        yield f"beta/{world.name}", runs, lambda seeds, world=world: _beta(world, seeds)
    for case in detection.CASES:
        yield f"delay/{case.name}", delays, lambda seeds, case=case: detection.measure(case, detection.CALM, seeds)
    for label, effect in detection.RELEASES.items():
        yield (
            f"promote/{label}",
            delays,
            lambda seeds, effect=effect: detection.promotion(detection.CALM, effect, seeds),
        )
    for where, name in ((detection.CALM, "calm"), (detection.ROUGH, "rough")):
        for sli in detection.NORMAL:
            label = f"alarms/{name}/{sli}"
            yield label, 2 * delays, lambda seeds, where=where, sli=sli: detection.false_alarms(where, sli, seeds)


def _alpha(world: World, seeds: range) -> dict[str, Any]:
    experiment = spec(world, NOTHING)
    return tally([run(world, experiment, seed, NONE) for seed in seeds], [sli.name for sli in experiment.slis])


def _beta(world: World, seeds: range) -> dict[str, Any]:
    experiment = spec(world, ALLOWED)
    return tally([run(world, experiment, seed, BORDER) for seed in seeds], [sli.name for sli in experiment.slis])


if __name__ == "__main__":
    main()
