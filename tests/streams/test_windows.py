"""What the judge keeps, and what it only counts once there is too much that no spec names."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import numpy as np
import pytest

from schemas.delta import OTHER, Cell
from schemas.packing import pack
from streams.content import Group, Names
from streams.fold import SourceKey
from streams.windows import STRATA_MAX, Windows
from tests.streams.cells import packed_cell

GROUP: Group = ("e", "cart", "prod")
NAMES: dict[Group, Names] = {GROUP: Names(frozenset("12"), frozenset({"control", "canary"}))}
LENGTH = 5_000_000
SOURCES = [("id", 0), ("id", 1)]


def cell(version: str, rows: int = 1, variant: str | None = None, window: int = LENGTH, **other: Any) -> Cell:
    told: dict[str, Any] = {"experiment_id": "e", "service": "cart", "dimensions": (None,), **other}
    errors = pack(np.array([3]), np.array([rows]))
    return Cell(
        told["experiment_id"], told["service"], "prod", version, variant, told["dimensions"], window, rows, rows, rows, 0,
        0, rows, rows << 20, rows << 20, 1 << 20, 1 << 20, 0, errors, b"", b"", (),
    )  # fmt: skip


def count(windows: Windows, source: SourceKey, told: Cell) -> None:
    windows.count(source, [packed_cell(told)])


def rows(windows: Windows, group: Any = GROUP, window: int = LENGTH) -> dict[Any, int]:
    return {label: arm.rows for label, arm in windows.labels(group, window).items()}


def test_what_the_specs_name_is_kept_whatever_else_comes() -> None:
    windows = Windows(LENGTH, unnamed_max=3)
    windows.name(NAMES)
    for i in range(100):
        count(windows, SOURCES[0], cell(f"bogus-{i}", experiment_id=None, service=f"bogus-{i}"))
        count(windows, SOURCES[0], cell(f"bogus-{i}", variant="canary"))
        count(windows, SOURCES[0], cell(f"bogus-{i}", variant=f"bogus-{i}"))
    count(windows, SOURCES[0], cell("1", 7))
    count(windows, SOURCES[0], cell("2", 9, "canary"))
    kept = rows(windows)
    assert (kept["1", None], kept["2", "canary"]) == (7, 9)
    assert sum(n for (version, variant), n in kept.items() if variant == "canary" and version != "2") == 100
    assert len(list(windows.contents())) <= 3 + 2 + 3
    assert sum(arm.total().rows for _, arm in windows.contents()) == 316
    assert windows.counted["other"] > 290
    total = windows.labels(GROUP, LENGTH)["2", "canary"]
    assert total.error_buckets.total == 9, "evidence of an arm was thrown away"


@pytest.mark.parametrize("seed", range(30))
def test_every_row_is_counted_once_wherever_it_goes(seed: int) -> None:
    """Newer cells replace, blocks fold, windows go, names change, states are saved and loaded, in any order."""
    rng = random.Random(seed)
    windows = Windows(LENGTH, unnamed_max=rng.choice((1, 4, 9)))
    done, open_rows = Counter[int](), {source: dict[Any, tuple[int, int]]() for source in SOURCES}
    for _ in range(300):
        source, kind = rng.choice(SOURCES), rng.random()
        if kind < 0.85:
            version, window = rng.choice("12abcdefgh"), LENGTH * rng.randrange(1, 6)
            key = (version, rng.choice((None, "canary", "x")), window)
            if window + LENGTH <= windows.floor_us:
                continue
            more = open_rows[source].get(key, (0, 0))[1] + rng.randrange(1, 4)
            open_rows[source][key] = (window, more)
            count(windows, source, cell(version, more, key[1], window))
        elif kind < 0.93:
            windows.fold(source)
            for window, n in open_rows[source].values():
                done[window] += n
            open_rows[source].clear()
        elif kind < 0.95:
            windows.name(rng.choice(({}, NAMES)))
        elif kind < 0.96:
            until = LENGTH * rng.randrange(1, 4)
            windows.drop(until)
        expected = Counter(done)
        for held in open_rows.values():
            for window, n in held.values():
                expected[window] += n
        found = Counter[int]()
        for (_, window, _), content in windows.contents():
            found[window] += content.total().rows
        assert +found == Counter({w: n for w, n in expected.items() if w + LENGTH > windows.floor_us and n})


def test_segments_are_counted_apart_where_the_spec_compares_within_them() -> None:
    windows = Windows(LENGTH, unnamed_max=9, dimensions=("segment",))
    windows.name({GROUP: Names(frozenset("12"), frozenset({"control", "canary"}), "segment")})
    for number, segment in enumerate((None, *(f"s{i}" for i in range(STRATA_MAX + 3)))):
        for version in "12":
            count(windows, SOURCES[0], cell(version, number + 1, dimensions=(segment,)))
        count(windows, SOURCES[1], cell("unnamed", 1, dimensions=(segment,)))
    strata = windows.strata(GROUP, LENGTH)
    assert set(strata) == {None, OTHER, *(f"s{i}" for i in range(STRATA_MAX))}
    assert strata["s3"]["1", None].rows == strata["s3"]["2", None].rows == 5
    assert strata[OTHER]["2", None].rows == 18 + 19 + 20, "further ones are compared together"
    assert set(strata[None]) == {("1", None), ("2", None), ("unnamed", None)}, "only what is compared is told apart"
    assert rows(windows) == {("1", None): 210, ("2", None): 210, ("unnamed", None): STRATA_MAX + 4}
    windows.fold(SOURCES[0])
    count(windows, SOURCES[0], cell("2", 5, dimensions=("s3",)))
    assert windows.strata(GROUP, LENGTH)["s3"]["2", None].rows == 10
    windows.drop(2 * LENGTH)
    assert windows.strata(GROUP, LENGTH) == {}


def test_a_folded_content_goes_to_its_own_again_when_there_is_room() -> None:
    windows = Windows(LENGTH, unnamed_max=1)
    count(windows, SOURCES[0], cell("a"))
    count(windows, SOURCES[0], cell("b", 2))
    windows.drop(2 * LENGTH)
    count(windows, SOURCES[0], cell("b", 3, window=2 * LENGTH))
    assert rows(windows, window=2 * LENGTH) == {("b", None): 3}
    assert rows(windows, ("e", OTHER, OTHER)) == {}
