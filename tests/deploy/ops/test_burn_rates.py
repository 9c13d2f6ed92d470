"""Davy's burn-rate alerts beside a real Prometheus that evaluates the rules of the SRE workbook over the same requests.

Prometheus sees counters once a minute. Where an alert begins or ends the two may differ by what they cannot both see: a
scrape, and one part in 60 of the lookback (the width of Davy's bins); instants so near
to a change are left out, and are few enough.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from analyzers import budget as budgets
from analyzers.budget import Count
from schemas.slo import Slo
from schemas.units import parse_duration
from tests.support.system import program

MINUTE = 60_000_000
MINUTES = 8 * 24 * 60
EVERY = 5
BEGIN = 10_000_000
"""Minutes between two evaluations."""
WORKBOOK = ((14.4, "1h", "5m", "page"), (6, "6h", "30m", "page"), (3, "1d", "2h", "ticket"), (1, "3d", "6h", "ticket"))
"""Factor, lookbacks and severity: table 5-8."""
SLO = Slo.model_validate({"service": "s", "environment": "p", "objective": "99.9%"})


def traffic(seed: int) -> list[tuple[int, int]]:
    """Requests and bad ones of every minute: three quiet days, a short outage, a long one, a leak of 30
    hours, a night of hardly any."""
    rng = np.random.default_rng(seed)
    found: list[tuple[int, int]] = []
    for minute in range(MINUTES):
        hour = minute / 60
        requests, ratio = int(rng.integers(540, 660)), 0.0002
        if 76 <= hour < 76.7:
            ratio = 0.05
        elif 88 <= hour < 92.5:
            ratio = 0.012
        elif 108 <= hour < 138:
            ratio = 0.0042
        elif hour >= 178:
            requests, ratio = int(minute % 30 == 0), 0.5
        found.append((requests, int(rng.binomial(requests, ratio))))
    return found


def expression(factor: float, long: str, short: str) -> str:
    """The workbook's, and Davy's guard."""
    both = [
        f"increase(bad_total[{each}]) / increase(requests_total[{each}]) > {factor} * {1 - SLO.objective:.6g}"
        for each in (long, short)
    ]
    return " and ".join([*both, f"increase(bad_total[{long}]) >= {SLO.min_bad}"])


def davy(seen: list[tuple[int, int]]) -> list[tuple[bool, ...]]:
    """Which alerts are active at the end of each stretch of `EVERY` minutes."""
    budget, found = budgets.start(SLO), list[tuple[bool, ...]]()
    for first in range(0, MINUTES, EVERY):
        counts = [Count((BEGIN + minute) * MINUTE, "1", *seen[minute]) for minute in range(first, first + EVERY)]
        budget, standing = budgets.step(SLO, budget, counts, (BEGIN + first + EVERY) * MINUTE)
        found.append(tuple(burn.active for burn in standing.burns))
    return found


def counter(seen: list[tuple[int, int]], column: int) -> str:
    """As promtool reads series; its value at minute m is what was counted up to then."""
    total, values = 0, ["0"]
    for each in seen:
        total += each[column]
        values.append(str(total))
    return " ".join(values)


def settled(active: list[tuple[bool, ...]], rule: int, at: int, margin: int) -> bool:
    around = {each[rule] for each in active[max(0, at - margin) : at + margin + 1]}
    return len(around) == 1


def test_alerts_are_those_of_prometheus(tmp_path: Path) -> None:
    seen = traffic(4)
    active = davy(seen)
    tests: list[dict[str, Any]] = []
    both = dict.fromkeys(range(len(WORKBOOK)), (0, 0))
    for at in range(5, len(active), 2):
        for number, (_, long, _, severity) in enumerate(WORKBOOK):
            margin = max(2, parse_duration(long) // MINUTE // 60 // EVERY + 1)
            if not settled(active, number, at, margin):
                continue
            fires = active[at][number]
            quiet, loud = both[number]
            both[number] = (quiet + (not fires), loud + fires)
            alert = [{"exp_labels": {"severity": severity}}] if fires else []
            tests.append({"eval_time": f"{(at + 1) * EVERY}m", "alertname": f"Burn{number}", "exp_alerts": alert})
    assert all(quiet > 100 and loud > 0 for quiet, loud in both.values()), both
    assert len(tests) > 0.9 * len(WORKBOOK) * len(active) / 2
    _write(
        tmp_path / "rules.yml",
        {"groups": [{"name": "burn", "rules": [
            {
                "alert": f"Burn{number}", "expr": expression(factor, long, short), "keep_firing_for": short,
                "labels": {"severity": severity},
            }
            for number, (factor, long, short, severity) in enumerate(WORKBOOK)
        ]}]},
    )  # fmt: skip
    series = [{"series": f"{name}_total", "values": counter(seen, at)} for at, name in enumerate(("requests", "bad"))]
    _write(
        tmp_path / "test.yml",
        {
            "rule_files": ["rules.yml"], "evaluation_interval": f"{EVERY}m",
            "tests": [{"interval": "1m", "input_series": series, "alert_rule_test": tests}],
        },
    )  # fmt: skip
    done = _promtool(tmp_path)
    assert done.returncode == 0, (done.stdout + done.stderr)[:3000]


def _promtool(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [program("promtool", "prometheus"), "test", "rules", "test.yml"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def _write(path: Path, document: Any) -> None:
    yaml: Any = YAML()
    yaml.width = 2**31
    dump: Callable[..., None] = yaml.dump
    with path.open("w") as file:
        dump(document, file)
