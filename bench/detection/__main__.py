"""`python -m bench.detection --nab FOLDER`: measure `davy detect`, write docs/detection.md; without it only how fast it is.

FOLDER is a checkout of https://github.com/numenta/NAB, of which nothing is kept here. The scorer is first checked against
what NAB publishes: a detector's published rows must give its published score.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from array import array
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import numpy as np

from analyzers.detectors import DEFAULT, detector
from bench.detection import nab
from bench.detection.series import CALM, EVENTS, delays, false_changes
from bench.document import rewrite

PAGE = Path(__file__).parents[2] / "docs" / "detection.md"
BEGIN = "<!-- measured: written by python -m bench.detection --nab -->"
SPEED_BEGIN = "<!-- speed: written by python -m bench.detection -->"
QUICK = ("ensemble", "extremes", "seasonal", "e-detector", "page-hinkley")
"""The others take minutes for all of NAB."""
CHECKED = ("windowedGaussian", "relativeEntropy", "knncad", "contextOSE")
PUBLISHED = {
    "numenta": "Numenta HTM", "contextOSE": "CAD OSE (knows the file's range)", "earthgeckoSkyline": "earthgecko Skyline",
    "knncad": "KNN CAD", "relativeEntropy": "relative entropy", "randomCutForest": "random cut forest",
    "twitterADVec": "Twitter ADVec", "windowedGaussian": "windowed Gaussian", "skyline": "Etsy Skyline",
    "expose": "EXPoSE",
}  # fmt: skip
SPEED_ROWS = 500_000


def main() -> None:
    """Measure, then write."""
    parser = argparse.ArgumentParser(prog="python -m bench.detection", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--nab", type=Path, help="a checkout of numenta/NAB")
    parser.add_argument("--runs", type=int, default=20, help="series per kind of noise")
    parser.add_argument("--events", type=int, default=200, help="series per event")
    asked = parser.parse_args()
    when = f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f} before it began"
    told = speed(f"`python -m bench.detection`, {when}")
    rewrite(SPEED_BEGIN, told, PAGE)
    print(told)
    if asked.nab is not None:
        found = [
            f"`python -m bench.detection --nab NAB`, {when}.",
            benchmark(asked.nab),
            noise(asked.runs),
            events(asked.events),
        ]
        rewrite(BEGIN, "\n\n".join(found), PAGE)
        print(*found, sep="\n\n")


def benchmark(repository: Path) -> str:
    """The Numenta Anomaly Benchmark: ours, and what was published."""
    series = nab.corpus(repository)
    published = json.loads((repository / "results" / "final_results.json").read_text("utf-8"))
    for name in CHECKED:
        ours = nab.score(series, nab.published(repository, series, name), nab.PROFILES[0])[0]
        theirs = published[name]["standard"]
        if abs(ours - theirs) > 0.01:
            raise SystemExit(f"the scorer gives {name} {ours:.2f}, published is {theirs:.2f}")
    lines = [
        "**Numenta Anomaly Benchmark**, normalized scores at the best threshold. The scorer gives the published rows of "
        f"{', '.join(PUBLISHED[name].split(' (')[0] for name in CHECKED)} their published scores.",
        "",
        "| detector | standard, tuned half | other half | **whole** | few false alarms | few misses |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in QUICK:
        scores = {each.name: _scores(name, each) for each in series}
        halves = [nab.score(nab.half(series, which), scores, nab.PROFILES[0])[0] for which in (0, 1)]
        whole = [nab.score(series, scores, profile)[0] for profile in nab.PROFILES]
        lines.append(
            f"| {name} | {halves[0]:.1f} | {halves[1]:.1f} | **{whole[0]:.1f}** | {whole[1]:.1f} | {whole[2]:.1f} |"
        )
    for name, label in PUBLISHED.items():
        row = [published[name][profile.name] for profile in nab.PROFILES]
        lines.append(f"| {label}, published | | | {row[0]:.1f} | {row[1]:.1f} | {row[2]:.1f} |")
    return "\n".join(lines)


def _scores(name: str, series: nab.Series) -> nab.Floats:
    chosen = detector(name)
    _, found = chosen.step(chosen.start(), nab.times_us(series), array("d", series.values.tolist()))
    return np.array(found.scores)


def noise(runs: int) -> str:
    """False changes of the default."""
    lines = [
        f"**False changes** of the default in series without any, {runs} each, a row a minute for 20 days.",
        "",
        "| noise | rows | false changes | per 10,000 rows | goal, below |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for calm in CALM:
        false, rows = false_changes(DEFAULT, calm, runs)
        lines.append(f"| {calm.name} | {rows:,} | {false} | {false / rows * 1e4:.2f} | {calm.goal:g} |")
    return "\n".join(lines)


def events(runs: int) -> str:
    """Delays of the default."""
    lines = [
        f"**Delays** of the default, {runs} series each: rows from the event to the change that tells it, itself included.",
        "",
        "| event | told | median delay | nine in ten within | within 8 rows | false changes before it |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for event in EVENTS:
        waits, early = delays(DEFAULT, event, runs)
        waits.sort()
        told = sum(wait < np.inf for wait in waits)
        shown = [f"{w:.0f}" if w < np.inf else "never" for w in (median(waits), waits[int(0.9 * len(waits))])]
        soon = sum(wait <= 8 for wait in waits)
        note = "" if event.told else " (should not be told)"
        lines.append(
            f"| {event.name}{note} | {told / runs:.0%} | {shown[0]} | {shown[1]} | {soon / runs:.0%} | {early} |"
        )
    return "\n".join(lines)


def speed(when: str) -> str:
    """Start and rows a second of the command itself."""
    rng = np.random.default_rng(3)
    with tempfile.TemporaryDirectory(prefix="davy-detection-") as folder:
        file = Path(folder) / "series.csv"
        rows = [f"{1_764_028_800 + 60 * i},{value:.3f}" for i, value in enumerate(rng.normal(size=SPEED_ROWS))]
        file.write_text("\n".join(["timestamp,value", *rows]), "utf-8")
        short = Path(folder) / "short.csv"
        short.write_text("\n".join(["timestamp,value", *rows[:10]]), "utf-8")
        begin = median(_seconds(short) for _ in range(5))
        whole = _seconds(file)
    return (
        f"**Speed** of `davy detect --json`: ten rows take {begin:.2f} s, {SPEED_ROWS:,} rows {whole:.1f} s: "
        f"{SPEED_ROWS / (whole - begin):,.0f} rows/s ({when})."
    )


def _seconds(file: Path) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-m", "davy", "detect", str(file), "--json"], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
