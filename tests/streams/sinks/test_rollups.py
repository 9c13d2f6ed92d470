"""Roll-ups equal a recount, whatever comes twice, late or in another order; on each engine."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from streams.sinks.base import Store
from streams.sinks.ddl import STORED
from streams.sinks.embedded import EmbeddedStore
from streams.sinks.rollups import ROLLUPS
from streams.sinks.rows import of_window
from streams.sinks.tables import Row
from tests.streams.sinks import records
from tests.support.system import until

DAY_US = 86_400_000_000
PLACES = [*range(14), 700, 721, 722, 20_000, 20_001, 40_000]
"""Of windows of 5 s: some in one minute, some in one hour, some days apart."""


def windows(revision: int = 1) -> list[Row]:
    found: list[Row] = []
    for place in PLACES:
        for variant in ("control", None):
            summary = records.window(place, variant, revision, rows=place % 7 + revision)
            found += of_window(summary.encode())["windows"]
    return found


def recount(rows: list[Row], seconds: int) -> dict[tuple[Any, int], list[float]]:
    found: defaultdict[tuple[Any, int], list[float]] = defaultdict(lambda: [0, 0, 0, 0, 0])
    for row in rows:
        bucket = row["start"] // 1_000_000 // seconds * seconds
        sums = found[row["variant"], bucket]
        for i, value in enumerate((row["rows"], row["errors"], row["requests"], row["duplicates"], 1)):
            sums[i] += value
    return dict(found)


def seen(store: Store, name: str) -> dict[tuple[Any, int], list[float]]:
    rows = store.query(
        f"SELECT variant, toInt64(toUnixTimestamp(start)), rows, errors, requests, duplicates, windows, p99_us, "
        f"p99_max_us, p999_us, toInt64(toUnixTimestamp(end)) FROM {name}"
    ).rows
    for row in rows:
        assert row[7:10] == [4000.0, 4000.0, None]
        assert row[10] - row[1] == next(rollup.seconds for rollup in ROLLUPS if rollup.table.name == name)
    return {(row[0], row[1]): row[2:7] for row in rows}


def roll(store: Store, rows: list[Row]) -> None:
    starts = [row["start"] for row in rows]
    store.roll_up(min(starts), max(starts) + 1)


def test_they_equal_a_recount_and_stay_so(store: Store) -> None:
    first = windows()
    store.insert("windows", first)
    roll(store, first)
    for rollup in ROLLUPS:
        assert seen(store, rollup.table.name) == recount(first, rollup.seconds), rollup.table.name
    before = {rollup.table.name: seen(store, rollup.table.name) for rollup in ROLLUPS}
    store.insert("windows", first[::-1])
    roll(store, first[:2])
    roll(store, first)
    assert {name: seen(store, name) for name in before} == before

    later = windows(revision=2)[4:9]
    store.insert("windows", later)
    roll(store, later)
    changed = {(row["variant"], row["start"]): row for row in first} | {(r["variant"], r["start"]): r for r in later}
    for rollup in ROLLUPS:
        assert seen(store, rollup.table.name) == recount(list(changed.values()), rollup.seconds), rollup.table.name
    assert store.not_rolled_up_us() == (max(row["start"] for row in first) // DAY_US - 1) * DAY_US


def test_an_empty_store_is_rolled_up_from_the_beginning(store: Store) -> None:
    assert store.not_rolled_up_us() == 0


def test_retention_removes_rows_by_table_and_is_taken_back(store: Store) -> None:
    rows = windows()
    if not isinstance(store, EmbeddedStore):  # too old for a TTL: it is told
        store.insert("windows", rows)
        store.migrate([], {"windows": 3650 * DAY_US})
        store.expire()
        assert store.query("SELECT count() FROM windows").rows[0][0] > 0
        store.migrate([], {"windows": DAY_US})
        store.expire()
        until(lambda: store.query("SELECT count() FROM windows").rows == [[0]], 20, "old windows were removed")
        return
    store.insert("windows", rows)
    roll(store, rows)
    store.migrate([], {"windows": DAY_US})
    engine = "SELECT engine_full FROM system.tables WHERE database = 'davy' AND name = '{}_raw'"
    assert "TTL toDateTime(start) + toIntervalSecond(86400)" in store.query(engine.format("windows")).rows[0][0]
    store.run("OPTIMIZE TABLE windows_raw FINAL")
    assert store.query("SELECT count() FROM windows").rows == [[0]]
    before = seen(store, "windows_1h")
    roll(store, rows)  # what is gone below stays as it was above
    assert seen(store, "windows_1h") == before != {}
    store.migrate([], {})
    assert "TTL" not in store.query(engine.format("windows")).rows[0][0]


def test_the_configuration_names_every_table() -> None:
    from typing import get_args

    from schemas.config import Stored

    assert set(get_args(Stored)) == set(STORED)
