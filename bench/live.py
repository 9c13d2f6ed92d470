"""`python -m bench.live`: the live demo, told and drawn from the proxy's own log into docs/live.md."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.document import rewrite
from davy.live import FAILS, RULE_EVERY_S, RULE_SUCCESS, VERSIONS
from davy.proxy_log import DAVY, RULE, ProxyLine

DOCS = Path(__file__).parents[1] / "docs"
TABLE, PICTURE = DOCS / "live.md", DOCS / "images" / "live.svg"
BEGIN = "<!-- live: written by python -m bench.live -->"
TIMEOUT_S = 300
TITLES = {
    DAVY: "Davy's half of the users",
    RULE: f"a threshold's: success ≥ {RULE_SUCCESS:.0%}, looked at each {RULE_EVERY_S:g} s",
}


def main() -> int:
    """Run, write, print."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="davy-live-") as folder:
        report = run(Path(folder))
        log = (Path(folder) / "logs" / "proxy.log").read_text("utf-8")
    lines = [line for text in log.splitlines() if (line := ProxyLine.parse(text)) is not None]
    text = "\n".join(table(report, load))
    rewrite(BEGIN, text, TABLE)
    draw(lines)
    print(text)
    return 0


def run(folder: Path) -> dict[str, Any]:
    """The demo's report, once all that it tells has happened."""
    command = [
        sys.executable,
        "-m",
        "davy",
        "demo",
        "--scenario",
        "live",
        "--json",
        "--port",
        "0",
        "--dir",
        str(folder),
    ]
    with subprocess.Popen([*command, "--duration", str(TIMEOUT_S)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for text in process.stdout:
            line = json.loads(text)
            if line.get("kind") == "live":
                process.terminate()
                return line
    raise SystemExit("the demo ended before it told anything")


def table(report: dict[str, Any], load: float) -> list[str]:
    """Markdown."""
    davy, rule = report[DAVY], report[RULE]
    bad, good = VERSIONS["bad"], VERSIONS["good"]
    rate = f"{davy['bad_requests']:,} | {rule['bad_requests']:,}"
    return [
        f"`python -m bench.live`, {datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores shared by all of it, load {load:.1f} "
        "before it began:",
        "",
        f"| each for half of the users | Davy | success ≥ {RULE_SUCCESS:.0%}, looked at each {RULE_EVERY_S:g} s |",
        "| :--- | ---: | ---: |",
        f"| {bad}, which fails {FAILS['bad']:.0%}: from its first failure to no traffic at the proxy | "
        f"{davy['first_failure_to_zero_s']:.1f} s | {rule['first_failure_to_zero_s']:.1f} s |",
        f"| {bad}: requests that it served | {rate} |",
        f"| {bad}: requests that failed | **{davy['failed_requests']}** | **{rule['failed_requests']}** |",
        f"| {good}, which is good: from its first share to 100 % | {report['good_to_all_s']:.1f} s | - |",
        "",
        f"![Shares and failures at the proxy](images/{PICTURE.name})",
    ]


def draw(lines: Sequence[ProxyLine]) -> None:
    """Shares of the candidates, as requests met them, and the failures of the bad version, second by second."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    begin = min(line.routed_us for line in lines if line.bad)
    matplotlib.rcParams.update({"svg.hashsalt": "davy", "font.size": 9})
    figure, axes = plt.subplots(2, 1, figsize=(8, 4.2), sharex=True, sharey=True, layout="constrained")
    for axis, half in zip(axes, (DAVY, RULE), strict=True):
        mine = sorted((line for line in lines if line.half == half), key=lambda line: line.routed_us)
        seconds = [(line.routed_us - begin) / 1e6 for line in mine]
        axis.step(
            seconds, [line.bad / 100 for line in mine], color="#c0392b", label=f"{VERSIONS['bad']} (bad): share, %"
        )
        axis.step(
            seconds, [line.good / 100 for line in mine], color="#2c7a4b", label=f"{VERSIONS['good']} (good): share, %"
        )
        failed = [when for when, line in zip(seconds, mine, strict=True) if line.arm == "bad" and line.status >= 500]
        axis.plot(
            failed,
            [103] * len(failed),
            "|",
            color="#c0392b",
            markersize=7,
            label=f"{len(failed)} failures of the bad one",
        )
        axis.set_title(TITLES[half], loc="left", fontsize=9)
        axis.set_xlim(-5, max(seconds))
        axis.legend(loc="center", frameon=False)
    axes[-1].set_xlabel("seconds since the bad version got its first share")
    figure.savefig(PICTURE, metadata={"Date": None})


if __name__ == "__main__":
    sys.exit(main())
