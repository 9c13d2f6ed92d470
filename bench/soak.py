"""`python -m bench.soak [SECONDS]`: all roles on real parts under load for so long; what grows, into docs/reliability.md.

Every `EVERY_S` each role's memory (RSS), descriptors and threads are read from /proc, and how old the events are behind the
newest verdict. The first part, in which caches fill, is left out of the slopes, which are medians of all pairs (Theil-Sen).
With `--simulated HOURS` the demo's clock runs so much faster that the same seconds are so many hours, on the embedded parts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from scipy.stats import theilslopes  # pyright: ignore

from bench.document import heading, rewrite
from bench.failsafe.cell import Matrix
from bench.failsafe.system import ROLES, START_S, System
from bench.failsafe.traffic import SERVICES
from tests.support.kafka import VERSION
from tests.support.system import until

SECONDS, EVERY_S = 3600.0, 5.0
WARM = 1 / 3
"""Share of the time that is left out."""
SLOPE_MAX = 1.0
"""MiB an hour."""
TABLE = Path(__file__).parents[1] / "docs" / "reliability.md"
BEGIN = {
    "real": "<!-- soak: written by python -m bench.soak -->",
    "simulated": "<!-- soak-simulated: written by python -m bench.soak -->",
}


@dataclass(slots=True)
class Samples:
    """Of one process."""

    at_s: list[float] = field(default_factory=list[float])
    rss_mib: list[float] = field(default_factory=list[float])
    descriptors: list[int] = field(default_factory=list[int])
    threads: list[int] = field(default_factory=list[int])

    def take(self, pid: int, at_s: float) -> None:
        """One more; none where the process is gone."""
        try:
            status = Path(f"/proc/{pid}/status").read_text()
            files = len(os.listdir(f"/proc/{pid}/fd"))
        except OSError:
            return
        fields = dict(line.split(":", 1) for line in status.splitlines())
        self.at_s.append(at_s)
        self.rss_mib.append(int(fields["VmRSS"].split()[0]) / 1024)
        self.descriptors.append(files)
        self.threads.append(int(fields["Threads"]))

    def slope(self, scale_s: float) -> tuple[float, float, float]:
        """MiB per `scale_s`, with the ends of its 95 % interval, once it is warm."""
        begin = int(len(self.at_s) * WARM)
        slope, _, low, high = map(float, theilslopes(self.rss_mib[begin:], self.at_s[begin:]))  # pyright: ignore
        return slope * scale_s, low * scale_s, high * scale_s


def main() -> int:
    """Run, write, print; the exit code is 1 where something grows for certain."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("seconds", nargs="?", type=float, default=SECONDS, help="wall time (default: one hour)")
    parser.add_argument(
        "--simulated", type=float, metavar="HOURS", help="the demo, at a speed that makes it so many hours"
    )
    options = parser.parse_args()
    kind = "real" if options.simulated is None else "simulated"
    if options.simulated is None:
        samples, ages, said = real(options.seconds)
        scale_s, unit = 3600.0, "MiB/h"
    else:
        samples, ages, said = simulated(options.seconds, options.simulated)
        scale_s, unit = options.seconds / options.simulated, "MiB per simulated hour"
    text = "\n".join([said, "", *lines(samples, scale_s, unit), "", latency(ages)])
    rewrite(BEGIN[kind], text, TABLE)
    print(text)
    return int(any(held.slope(scale_s)[1] > SLOPE_MAX or _more(held.descriptors) for held in samples.values()))


def real(seconds: float) -> tuple[dict[str, Samples], list[float], str]:
    """The system of the fail-safe matrix, without a fault."""
    subprocess.run(
        [sys.executable, "-m", "streams.warm"], check=True
    )  # who compiles loops keeps 100 MiB of the compiler
    with tempfile.TemporaryDirectory(prefix="davy-soak-") as folder, System(Path(folder), SERVICES) as system:
        matrix = Matrix(system)
        matrix.begin()
        pids = {role: system.parts[role].pid or 0 for role in ROLES}
        samples, ages = sampled(lambda: pids, seconds, lambda: matrix.watch.age_s("baking"))
        matrix.end()
        sent = sum(arms.sent for arms in matrix.traffic.arms.values())
    said = (
        f"`python -m bench.soak {seconds:g}`, {datetime.now(UTC):%Y-%m-%d}, Kafka {VERSION}, ClickHouse, HAProxy, a "
        f"schema registry, {os.cpu_count()} shared cores: {seconds / 60:.0f} minutes, {sent:,} events, windows of 1 s."
    )
    return samples, ages, said


def simulated(seconds: float, hours: float) -> tuple[dict[str, Samples], list[float], str]:
    """The demo, with its clock faster."""
    speed = hours * 3600 / seconds
    with tempfile.TemporaryDirectory(prefix="davy-soak-") as folder:
        command = [
            sys.executable, "-m", "davy", "demo", "--json", "--no-browser", "--port", "0", "--dir", folder,
            "--speed", f"{speed:g}", "--duration", f"{seconds + 30:g}",
        ]  # fmt: skip
        out = Path(folder) / "told.ndjson"
        with out.open("wb") as told_to, subprocess.Popen(command, stdout=told_to, stderr=subprocess.DEVNULL) as process:
            until(out.read_bytes, START_S, "the demo is ready")
            samples, _ = sampled(lambda: roles_of(process.pid), seconds, lambda: 0.0)
            process.terminate()
        told = [json.loads(line) for line in out.read_text().splitlines()]
    verdicts = [line for line in told if "action" in line]
    said = (
        f"`python -m bench.soak {seconds:g} --simulated {hours:g}`, {datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} shared "
        f"cores: the demo's clock {speed:g} times as fast, {hours:g} simulated hours, {len(verdicts):,} verdicts."
    )
    return samples, [], said


def sampled(
    pids: Callable[[], dict[str, int]], seconds: float, age_s: Callable[[], float]
) -> tuple[dict[str, Samples], list[float]]:
    """Samples of each process, and ages of events, until the time is over."""
    samples: dict[str, Samples] = {}
    ages: list[float] = []
    begun = time.monotonic()
    while (now := time.monotonic() - begun) < seconds:
        for role, pid in pids().items():
            samples.setdefault(role, Samples()).take(pid, now)
        ages.append(age_s())
        time.sleep(max(0.0, EVERY_S - (time.monotonic() - begun) % EVERY_S))
    return samples, ages


def roles_of(supervisor: int) -> dict[str, int]:
    """Children of a supervisor that have a role."""
    found: dict[str, int] = {}
    for child in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split():
        words = Path(f"/proc/{child}/cmdline").read_text().split("\0")
        found |= {role: int(child) for role in ROLES if role in words and "--spare" not in words}
    return found


def lines(samples: dict[str, Samples], scale_s: float, unit: str) -> list[str]:
    """One row for each process."""
    written = heading(
        "process", [f"{unit} (95 % interval)", "RSS in the end, MiB", "descriptors, first and last", "threads"]
    )
    for role, held in samples.items():
        slope, low, high = held.slope(scale_s)
        begin = int(len(held.at_s) * WARM)
        written.append(
            f"| {role} | {slope:+.2f} ({low:+.2f} to {high:+.2f}) | {held.rss_mib[-1]:.0f} | {held.descriptors[begin]}, "
            f"{held.descriptors[-1]} | {held.threads[begin]}, {held.threads[-1]} |"
        )
    return written


def latency(ages: Sequence[float]) -> str:
    """How old events are behind the newest verdict: in the second third, and in the last."""
    third = len(ages) // 3
    if not third:
        return ""
    parts = [sorted(ages[third : 2 * third]), sorted(ages[2 * third :])]
    p50, p95 = ([part[int(len(part) * q)] for part in parts] for q in (0.5, 0.95))
    return (
        f"Events behind the newest verdict were {p50[0]:.1f} s old in the second third and {p50[1]:.1f} s in the last (p50); "
        f"{p95[0]:.1f} s and {p95[1]:.1f} s (p95)."
    )


def _more(descriptors: Sequence[int]) -> bool:
    """Whether the last third never had as few as the second one at most."""
    third = len(descriptors) // 3
    return third > 0 and min(descriptors[2 * third :]) > max(descriptors[third : 2 * third])


if __name__ == "__main__":
    sys.exit(main())
