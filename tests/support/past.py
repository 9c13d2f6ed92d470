"""Months of a service and hours of an experiment on it, in a real store: what a console finds there when it starts."""

from __future__ import annotations

import uuid
from dataclasses import replace

from schemas.config import Config
from schemas.control import Annotation, Control
from schemas.verdict import Verdict
from schemas.window import WindowSummary
from streams.sinks import open_store
from streams.sinks.rows import READERS
from streams.sinks.tables import Row
from tests.support.served import SECOND, SPEC, WINDOW, applied, decision, verdict, window

MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
DAYS, HOURS = 90, 3
"""Of the service, and of the experiment."""
DEPLOY = "payment service 7.1 deployed"


def fill(config: Config, end: int, hours: int = HOURS) -> int:
    """Write it all up to `end`; returns when the experiment began, so many hours before."""
    begin = end - hours * HOUR
    told: list[tuple[str, bytes]] = [("control", applied(time_us=begin).encode())]
    told += [("windows", each.encode()) for each in (*_alone(begin), *windows(begin, end))]
    told += [("verdicts", each.encode()) for each in _verdicts(begin, end)]
    shifts = ((0.01, begin, 101, "step 1"), (0.05, begin + HOUR, 102, "step 2"), (0.1, begin + 2 * HOUR, 103, "step 3"))
    told += [("decisions", decision("shift", share, at, n, why).encode()) for share, at, n, why in shifts]
    notes = ((end - 30 * DAY, DEPLOY), (begin + 90 * MINUTE, "cache warmed by hand"))
    told += [
        ("control", Control("annotations", at, "bob", "", Annotation(text, ("deploy",))).encode()) for at, text in notes
    ]
    with open_store(config) as store:
        store.migrate(["cpu_us", "memory_bytes"])
        rows: dict[str, list[Row]] = {}
        for topic, value in told:
            for table, made in READERS[topic](value).items():
                rows.setdefault(table, []).extend(made)
        for table, made in rows.items():
            store.insert(table, made)
        store.roll_up(end - DAYS * DAY, end)
    return begin


def _alone(begin: int) -> list[WindowSummary]:
    """One an hour of the service without an experiment, before it began."""
    told: list[WindowSummary] = []
    for hour in range(1, DAYS * 24):
        rows = 800_000 if hour % 24 > 8 else 600_000
        alone = window("control", begin - hour * HOUR, 9000 + 900 * (hour % 5), rows=rows)
        told.append(replace(alone, experiment_id=None, variant=None, end=alone.start + HOUR))
    return told


def windows(begin: int, end: int) -> list[WindowSummary]:
    """Of both arms, all of them."""
    told: list[WindowSummary] = []
    for start in range(begin, end, WINDOW):
        number = (start - begin) // WINDOW
        control = window("control", start, 4 + number % 3, p99_us=212_000 + number * 7919 % 30_000)
        told += [control, window("canary", start, number % 2, rows=100, p99_us=212_000 + number * 104_729 % 60_000)]
    return told


def _verdicts(begin: int, end: int) -> list[Verdict]:
    """One a minute: a hold for lack of data first."""
    told: list[Verdict] = []
    for number, at in enumerate(range(begin + MINUTE, end, MINUTE)):
        known = verdict("CONTINUE", "INCONCLUSIVE", number, at, log_e=3.0 * (at - begin) / (end - begin))
        if number < 10:
            known = verdict("HOLD", "NO_DATA", number, at, reason="the canary was not seen yet")
        told.append(replace(known, verdict_id=str(uuid.UUID(int=number + 1))))
    return told


__all__ = ["DAY", "DEPLOY", "HOUR", "HOURS", "MINUTE", "SPEC", "fill", "windows"]
