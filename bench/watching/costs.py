"""`python -m bench.watching.costs`: what watching costs, by window and in a judge's saved state; writes docs/detection.md."""

from __future__ import annotations

import json
import os
import platform
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import numpy as np

from analyzers import service_watch, snapshot, watch
from analyzers.arm import EMPTY, ArmWindow, PairWindow
from analyzers.usual import Usual
from bench.document import heading, rewrite
from bench.watching.__main__ import PAGE
from bench.watching.weeks import DAY, HOUR, LIVES, MONDAY_US, WINDOW_US
from schemas.slo import Slo
from schemas.watching import Watching
from streams.budgets import Budgets
from streams.parts import PLACES, Parts
from tests.analyzers.builders import ERRORS, P99, TRAFFIC, arm, spec

BEGIN = "<!-- costs: written by python -m bench.watching.costs -->"
LIFE = LIVES[1]
SPEC = spec(ERRORS, P99, TRAFFIC, randomization="user")
KEPT = 180
"""Windows that a judge keeps, and counts anew where they change."""


@dataclass(frozen=True, slots=True)
class Cost:
    """`state`: what the judge saves of it, as JSON."""

    what: str
    windows: int
    seconds: float
    state: Any

    def row(self) -> str:
        """CPU of a window, and bytes as JSON and compressed."""
        text = json.dumps(self.state).encode()
        cpu = f"{1e6 * self.seconds / self.windows:,.0f}"
        return f"| {self.what} | {cpu} | {len(text) / 1024:,.1f} | {len(zlib.compress(text, 1)) / 1024:,.1f} |"


def version() -> Cost:
    """Of a service without an experiment, two SLIs; in its second hour."""
    held = service_watch.start(Watching(), "1", EMPTY, MONDAY_US, WINDOW_US)
    begun, end_us = 0.0, MONDAY_US
    for number, content in enumerate(islice(LIFE.windows(1, 1.0), 2 * HOUR)):
        if number == HOUR:
            begun = time.process_time()
        end_us += WINDOW_US
        held, _ = service_watch.step(Watching(), held, content, EMPTY, end_us)
    return Cost("a version of a service, two SLIs", HOUR, time.process_time() - begun, snapshot.dump(held))


def usual() -> Cost:
    """A week is known."""
    values = np.random.default_rng(1).normal(100, 3, 7 * DAY).tolist()
    held, begun = Usual(1.0), time.process_time()
    for number, value in enumerate(values):
        held = held.step(MONDAY_US + number * WINDOW_US, value)
    return Cost("of it, what is usual for one SLI", len(values), time.process_time() - begun, snapshot.dump(held))


def promoted(*, creeping: bool) -> Cost:
    """Three SLIs, users in 128 buckets; in its second hour."""
    rng = np.random.default_rng(1)
    found = [_users(rng) for _ in range(HOUR)]
    start_us = MONDAY_US - watch.BEFORE * WINDOW_US
    held, begun = watch.start(SPEC, "canary", MONDAY_US, start_us, promoted=creeping), 0.0
    for number, content in enumerate((*found[: watch.BEFORE], *found, *found)):
        if number == watch.BEFORE + HOUR:
            begun = time.process_time()
        before = content if number < watch.BEFORE else EMPTY
        pair = PairWindow(start_us, start_us + WINDOW_US, before, content, 0.5, 0, steady=True)
        held, _ = watch.step(SPEC, held, content, pair)
        start_us = pair.end_us
    what = "the same with what it is held against" if creeping else "a promoted release, three SLIs"
    return Cost(what, HOUR, time.process_time() - begun, snapshot.dump(held))


def _users(rng: np.random.Generator) -> ArmWindow:
    durations, buckets = np.exp(rng.normal(10, 0.5, 500)), rng.integers(0, 128, 500)
    failed = rng.random(500) < 0.005
    return arm(500, int(failed.sum()), measures={"duration_us": durations}, buckets=buckets, failed=failed)


def budget() -> Cost:
    """Two versions, two hours."""
    slo = Slo.model_validate({"service": "s", "environment": "p", "objective": "99.9%"})
    budgets, begun = Budgets({"errors": slo}), time.process_time()
    for number in range(2 * HOUR):
        start_us = MONDAY_US + number * WINDOW_US
        for name in "12":
            budgets.count(("e", "s", "p"), start_us, (name, None), arm(500, number % 3))
        list(budgets.close(start_us + WINDOW_US))
        budgets.forget(start_us - KEPT * WINDOW_US)
    return Cost("an error budget, two versions", 2 * HOUR, time.process_time() - begun, budgets.dump())


def part() -> Cost:
    """One segment, four cells of complete blocks a window."""
    parts, begun = Parts[str](WINDOW_US), time.process_time()
    for number in range(HOUR):
        for _ in range(4):
            parts.add("g", MONDAY_US + number * WINDOW_US, ("1", None), ("eu",), (500, 3, 500, 10**7))
    seconds = time.process_time() - begun
    floor_us = MONDAY_US + (HOUR - min(KEPT, PLACES)) * WINDOW_US
    return Cost("a segment (or endpoint, instance) of a version", HOUR, seconds, list(parts.dump(floor_us)))


def main() -> None:
    """Measure, then write."""
    load = os.getloadavg()[0]
    costs: Iterator[Cost] = (
        find()
        for find in (version, usual, lambda: promoted(creeping=False), lambda: promoted(creeping=True), budget, part)
    )
    text = "\n".join(
        [
            f"`python -m bench.watching.costs`, {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, load "
            f"{load:.1f} before it began: windows of {WINDOW_US // 1_000_000} s with 500 requests, those of the release by "
            "users. While a question is open its trial comes to that.",
            "",
            *heading("", ("us CPU a window", "KB of a judge's state", "compressed")),
            *(cost.row() for cost in costs),
        ]
    )
    rewrite(BEGIN, text, PAGE)
    print(text)


if __name__ == "__main__":
    main()
