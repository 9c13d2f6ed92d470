"""A workload for the analysts' store: records as the topics carry them, what they amount to, and what a store shows."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from schemas.codec import micros
from schemas.config import Config
from schemas.control import Annotation, Control
from streams.sinks.base import Result
from streams.sinks.rows import READERS
from streams.sinks.tables import TABLES, Row, Table
from tests.streams.sinks import records

Key = tuple[Any, ...]
Rows = dict[str, dict[Key, Row]]
"""By table, by key."""
WINDOWS = 400
"""So many different ones: the rest are revisions and repetitions."""


def workload(seed: int) -> Iterator[tuple[str, bytes]]:
    """Topic and value of one record after another, without an end: new ones, revisions, and repetitions of what was there."""
    chance = random.Random(seed)
    said: list[tuple[str, bytes]] = []
    makers: list[tuple[str, Callable[[int], Any]]] = [
        ("windows", lambda n: _window(chance)), ("windows", lambda n: _window(chance)),
        ("verdicts", lambda n: records.verdict(n // 2, epoch=1 + n % 2)), ("decisions", records.decision),
        ("probes", lambda n: dataclasses.replace(records.probe(), time=records.BEGIN_US + n, ok=n % 2 == 0)),
        ("control", lambda n: Control(
            records.EXPERIMENT.id, records.BEGIN_US + n, "bob", "", Annotation(f"note {n}", ("a", "ü'\\"))
        )),
        ("control", lambda n: records.applied(records.BEGIN_US + n % 9)),
        ("incidents", lambda n: records.incident(n % 99, n % 2 == 0)),
    ]  # fmt: skip
    number = 0
    while True:
        number += 1
        if said and chance.random() < 0.2:
            yield chance.choice(said)
            continue
        topic, make = chance.choice(makers)
        said.append((topic, make(number).encode()))
        yield said[-1]
        del said[:-1000]


def _window(chance: random.Random) -> Any:
    """Of one key and revision there is only one content, as the judge has it."""
    index, revision, variant = (
        chance.randrange(WINDOWS),
        chance.randrange(1, 6),
        chance.choice([None, "canary", "control"]),
    )
    measures = {"cpu_us": 2.5 * revision} if index % 3 else {}
    return records.window(index, variant, revision, rows=10 * revision + index, **measures)


RECOUNTED = {name: table for name, table in TABLES.items() if name not in ("reports", "events")}
"""Tables that are made of Davy's own topics alone; reports the sink makes itself."""


def recount(found: Iterable[tuple[str, bytes]]) -> Rows:
    """What a log amounts to: of each key the row with the highest version, of equals the last."""
    rows: Rows = {name: {} for name in RECOUNTED}
    for topic, value in found:
        for name, some in READERS[topic](value).items():
            table = TABLES[name]
            for row in some:
                held = rows[name].get(_key(table, row))
                if held is None or table.version is None or row[table.version] >= held[table.version]:
                    rows[name][_key(table, row)] = row
    return rows


def shown(ask: Callable[[str], Result]) -> Rows:
    """All rows that a store shows, as `recount` has them; a key that is shown twice fails."""
    rows: Rows = {}
    for name, table in RECOUNTED.items():
        seen = [_row(table, row) for row in ask(f"SELECT * FROM {'specs' if name == 'experiments' else name}").dicts()]
        rows[name] = {_key(table, row): row for row in seen}
        assert len(rows[name]) == len(seen), f"{name}: a row is shown twice"
    return rows


def topics(config: Config) -> dict[str, str]:
    """Name without prefix, by topic."""
    return {config.topic(name): name for name in READERS}


def _key(table: Table, row: Row) -> Key:
    return tuple(row[name] for name in table.key)


def _row(table: Table, said: Mapping[str, Any]) -> Row:
    """As it was before the engine had it: old servers have times beside microseconds, and maps in two arrays."""
    row: dict[str, Any] = {}
    for name, kind in table.columns.items():
        if kind in ("time", "time?"):
            exact = f"{name}_us" in said
            row[name] = said[f"{name}_us"] if exact else said[name] and micros(said[name])
        elif f"{name}.key" in said:
            row[name] = dict(zip(said[f"{name}.key"], said[f"{name}.value"], strict=True))
        else:
            row[name] = bool(said[name]) if kind == "bool" else said[name]
    return row
