"""Sums by segment are those of the windows, however blocks end, and survive a checkpoint."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

from analyzers.arm import DURATION
from schemas.delta import Measure
from schemas.spec import SliSpec
from streams import deltas
from streams.parts import PLACES, Label, Parts, Value, levels
from streams.windows import Group, Windows
from tests.streams.cells import packed_cell
from tests.streams.test_windows import LENGTH, NAMES, SOURCES, cell

SEGMENTS = (None, "eu", "us")
GROUP: Group = ("e", "cart", "prod")
EU: Value = (0, "eu")
US: Value = (0, "us")
OWN: Label = ("1", None)


def test_they_are_what_was_counted_however_blocks_end() -> None:
    rng = random.Random(3)
    windows = Windows(LENGTH, dimensions=("segment",))
    windows.name({GROUP: next(iter(NAMES.values()))})
    expected: Counter[tuple[Value, int]] = Counter()
    upto: dict[tuple[int, int, str | None], int] = {}
    for _ in range(600):
        source, window, segment = rng.randrange(2), rng.randrange(1, 6), rng.choice(SEGMENTS)
        if rng.random() < 0.05:
            windows.fold(SOURCES[source])
            upto = {key: rows for key, rows in upto.items() if key[0] != source}
            continue
        key = (source, window, segment)
        fresh = rng.randrange(1, 9)
        upto[key] = upto.get(key, 0) + fresh
        told = cell("1", upto[key], dimensions=(segment,), window=window * LENGTH)
        told = replace(told, errors=upto[key] // 2, measures=(Measure(DURATION, upto[key], 7 * upto[key], b"", b""),))
        windows.count(SOURCES[source], [packed_cell(told)])
        if segment is not None:
            expected[(0, segment), window] += fresh
        for begin in range(1, 6):
            end = rng.randrange(begin, 7)
            found = windows.told_apart(GROUP, begin * LENGTH, end * LENGTH)
            for value in (EU, US):
                rows = sum(expected[value, window] for window in range(begin, end))
                assert found.get(value, (0, 0, 0, 0))[0] == rows
                assert found.get(value, (0, 0, 0, 0))[2:] == (rows, 7 * rows)
            apart = windows.values(GROUP, "segment", begin * LENGTH, end * LENGTH)
            assert {
                ((0, value), window): counts[0]
                for window, labels in apart.items()
                for value, counts in labels[OWN].items()
            } == {(value, at * LENGTH): rows for (value, at), rows in expected.items() if begin <= at < end}
            assert not windows.values(GROUP, "instance", begin * LENGTH, end * LENGTH)
    windows.drop(3 * LENGTH)
    kept = windows.told_apart(GROUP, 0, 6 * LENGTH)
    assert kept[EU][0] == sum(expected[EU, window] for window in (3, 4, 5))


def test_no_more_than_the_limit_are_told_apart_and_room_comes_back() -> None:
    parts: Parts[str] = Parts(LENGTH, parts_max=2)
    for name in ("a", "b", "c"):
        parts.add("g", LENGTH, OWN, (name, None), (1, 0, 0, 0))
    assert set(parts.between("g", 0, 2 * LENGTH)) == {(0, "a"), (0, "b")}
    parts.drop(2 * LENGTH)
    parts.add("g", 2 * LENGTH, OWN, (None, "c"), (1, 0, 0, 0))
    assert parts.between("g", 0, 3 * LENGTH) == {(1, "c"): (1, 0, 0, 0)}


def test_a_window_that_is_gone_is_not_taken_for_a_later_one() -> None:
    parts: Parts[str] = Parts(LENGTH)
    for window in (1, 1 + PLACES, 1):
        parts.add("g", window * LENGTH, OWN, ("a",), (1, 1, 1, 5))
    assert parts.between("g", 0, 2 * LENGTH) == {}
    assert parts.between("g", PLACES * LENGTH, 2 * PLACES * LENGTH) == {(0, "a"): (1, 1, 1, 5)}


def test_restored_they_are_the_same() -> None:
    parts: Parts[str] = Parts(LENGTH)
    for window in range(1, 20):
        parts.add("g", window * LENGTH, OWN, ("a", "b"), (window, 1, 1, 5))
    again: Parts[str] = Parts(LENGTH)
    for group, value, rows in parts.dump(0):
        again.restore(group, value, rows)
    assert again.between("g", 0, 20 * LENGTH) == parts.between("g", 0, 20 * LENGTH)
    assert [len(rows) for _, _, rows in parts.dump(10 * LENGTH)] == [10, 10]


def test_levels_hold_the_rest_of_the_rows() -> None:
    def of(kind: str) -> SliSpec:
        return SliSpec.model_validate({"name": "x", "type": kind})

    counts = {"eu": (10, 1, 10, 100)}
    found = levels(of("error_ratio"), counts, (30, 1, 30, 900), 5.0)
    assert [(value, one.level) for value, one in found.items()] == [("eu", 0.1), (None, 0.0)]
    assert levels(of("latency_mean"), counts, (30, 1, 30, 900), 5.0)[None].level == 40.0
    assert levels(of("throughput"), counts, (30, 1, 30, 900), 5.0)["eu"].level == 2.0
    assert levels(of("error_ratio"), counts, counts["eu"], 5.0).keys() == {"eu"}


def test_a_body_is_read_without_its_histograms() -> None:
    told = replace(
        cell("1", 5), errors=3, measures=(Measure("cpu_us", 2, 9, b"", b""), Measure(DURATION, 4, 44, b"", b""))
    )
    assert deltas.counts_of(packed_cell(told).body) == (5, 3, 4, 44)
    assert deltas.counts_of(packed_cell(cell("1", 5)).body)[2:] == (0, 0)
