"""The first stage against plain Python, row by row; and any cut into batches gives equal bytes."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from analyzers.histogram import bin_of, quarter_octave
from schemas.config import Config
from schemas.delta import OTHER, QUARTERS, ROW_SAMPLE, SAMPLE_RATE_ONE, UNIT_BUCKETS, Cell
from schemas.packing import unpack
from streams.aggregate import OpenBlock
from streams.columns import EVENT_SCHEMA
from streams.kernels.admission import OFTEN
from streams.layout import Layout
from streams.route import delta_partition
from streams.rows import Rows
from tests.streams.cells import cells_of

T0 = 1_790_000_000_000_000
LAYOUT = Layout.of(Config.model_validate({"measures": ["cart"], "limits": {"delta_partitions": 3}}))


def events(rng: random.Random, n: int) -> tuple[list[dict[str, Any]], np.ndarray[Any, Any]]:
    rows: list[dict[str, Any]] = []
    arrivals: list[int] = []
    for i in range(n):
        arrival = T0 + i * 20_000
        late = rng.choice([0, 0, 0, 0, 1_000_000, 4_999_999, 5_000_000, 5_000_001, 60_000_000])
        time = arrival - late if rng.random() < 0.97 else arrival + rng.choice([60_000_000, 60_000_001])
        arrivals.append(arrival)
        rows.append({
            "timestamp": time, "service": rng.choice(["checkout", "cart"]), "environment": "production",
            "version": rng.choice(["1", "2"]), "experiment_id": rng.choice(["e1", "e2", None]),
            "variant": rng.choice(["control", "canary", None]), "segment": rng.choice(["eu", None]),
            "unit_id": rng.choice([None, *(f"user-{k}" for k in range(40))]), "instance": None, "endpoint": "/x",
            "status": rng.choice([200, 200, 404, 500]), "error": rng.choice([None, None, True, False]),
            "duration_us": rng.choice([0, 1, 999, 1_000_000, 1 << 46, -1, (1 << 46) + 1]),
            "cpu_us": rng.choice([None, 7, 70_000]), "memory_bytes": rng.choice([None, 1 << 40]),
            "measures": rng.choice([None, {}, {"cart": 1.5}, {"cart": 0.25, "unknown": 3.0}, {"cart": float("nan")}]),
            "sample_rate": rng.choice([1.0, 1.0, 0.25, 0.0]),
        })  # fmt: skip
    return rows, np.array(arrivals, np.int64)


def batch(rows: list[dict[str, Any]]) -> Rows:
    columns = [pa.array([row[field.name] for row in rows], field.type) for field in EVENT_SCHEMA]
    return Rows.of(pa.RecordBatch.from_arrays(columns, schema=EVENT_SCHEMA), ["cart"])


def fnv(text: str) -> int:
    h = 0xCBF29CE484222325
    for byte in text.encode():
        h = (h ^ byte) * 0x100000001B3 % 2**64
    return h


def fate(row: dict[str, Any], arrival: int) -> str:
    cart = (row["measures"] or {}).get("cart")
    unusable = not 0 <= row["duration_us"] <= 1 << 46 or (cart is not None and not cart >= 0)
    unusable = unusable or not 0 < row["sample_rate"] <= 1 or row["timestamp"] > arrival + 60_000_000
    return "quarantined" if unusable else "late" if row["timestamp"] < arrival - 5_000_000 else "rows"


def expected(rows: list[dict[str, Any]], arrivals: Any) -> dict[Any, Counter[Any]]:
    """Every count of every cell, the slow way."""
    cells: dict[Any, Counter[Any]] = {}
    for row, arrival in zip(rows, arrivals.tolist(), strict=True):
        what = fate(row, arrival)
        time = row["timestamp"] if what == "rows" else arrival
        labels = tuple(row[name] for name in ("experiment_id", "service", "environment", "version", "variant"))
        count = cells.setdefault((*labels, (row["segment"],), time // 5_000_000 * 5_000_000), Counter())
        count["seen"] += 1
        count[what] += 1
        if what != "rows":
            continue
        error = row["error"] if row["error"] is not None else row["status"] >= 500
        weight = round(SAMPLE_RATE_ONE / row["sample_rate"])
        count["errors"] += error
        count["weight"] += weight
        count["error_weight"] += weight * error
        count["lag_us"] += arrival - row["timestamp"]
        unit = None if row["unit_id"] is None else fnv(row["unit_id"])
        if unit is not None:
            count["with_unit"] += 1
            count["bucket", unit % UNIT_BUCKETS] += error
        values = {"duration_us": row["duration_us"], "cpu_us": row["cpu_us"], "memory_bytes": row["memory_bytes"]}
        values["cart"] = (row["measures"] or {}).get("cart")
        for name, value in values.items():
            if value is None:
                continue
            number = int(bin_of(np.array([float(value)]))[0])
            count[name, "rows"] += 1
            count[name, "total"] += round(value / 1e-6) if name == "cart" else value
            count[name, "bin", number] += 1
            if unit is not None:
                quarter = int(quarter_octave(np.array([number]))[0])
                count[name, "joint", unit % UNIT_BUCKETS * QUARTERS + quarter] += 1
    return cells


def found(cell: Cell) -> Counter[Any]:
    count: Counter[Any] = Counter()
    names = ("seen", "rows", "errors", "late", "quarantined", "with_unit", "weight", "error_weight", "lag_us")
    count.update({name: getattr(cell, name) for name in names})
    keys, counts = unpack(cell.error_buckets)
    count.update({("bucket", int(k)): int(n) for k, n in zip(keys, counts, strict=True)})
    for measure in cell.measures:
        count[measure.name, "rows"], count[measure.name, "total"] = measure.rows, measure.total
        for kind, packed in (("bin", measure.histogram), ("joint", measure.joint)):
            keys, counts = unpack(packed)
            count.update({(measure.name, kind, int(k)): int(n) for k, n in zip(keys, counts, strict=True)})
    return count


@pytest.mark.parametrize("seed", range(6))
def test_cells_equal_a_count_row_by_row(seed: int) -> None:
    rows, arrivals = events(random.Random(seed), 700)
    block = OpenBlock.start(LAYOUT)
    rejected = block.add(batch(rows), arrivals)
    cells = {cell.key: found(cell) for cell in cells_of(block)}
    oracle = {key: +count for key, count in expected(rows, arrivals).items()}
    assert {key: +count for key, count in cells.items()} == oracle
    assert [r.row for r in rejected] == [i for i, row in enumerate(rows) if fate(row, arrivals[i]) == "quarantined"]
    counted = [
        row["timestamp"] for row, arrival in zip(rows, arrivals, strict=True) if fate(row, int(arrival)) == "rows"
    ]
    assert block.max_event_time == max(counted)
    routed = Counter(delta_partition(row["service"], row["environment"], 3) for row in rows)
    assert block.rows_d == [routed[d] for d in range(3)]


@pytest.mark.parametrize("seed", range(20))
def test_any_cut_into_batches_gives_equal_bytes(seed: int) -> None:
    rng = random.Random(seed)
    rows, arrivals = events(rng, 400)
    whole = OpenBlock.start(LAYOUT)
    whole.add(batch(rows), arrivals)
    cut = OpenBlock.start(LAYOUT)
    borders = sorted({0, len(rows), *rng.choices(range(len(rows)), k=rng.randrange(12))})
    for start, end in itertools.pairwise(borders):
        cut.add(batch(rows[start:end]), arrivals[start:end])
        if rng.random() < 0.3:
            cells_of(cut, True, rng.choice([None, 0, 1]))
    assert list(cut.groups(3)) == list(whole.groups(3))
    assert (cut.rows_d, cut.max_event_time) == (whole.rows_d, whole.max_event_time)


def test_only_changed_cells_are_sent_again() -> None:
    rows, arrivals = events(random.Random(1), 300)
    block = OpenBlock.start(LAYOUT)
    block.add(batch(rows[:200]), arrivals[:200])
    assert len(cells_of(block, True)) == len(cells_of(block))
    assert cells_of(block, True) == []
    block.add(batch(rows[200:201]), arrivals[200:201])
    assert len(cells_of(block, True)) == 1


@pytest.mark.parametrize("seed", range(6))
def test_a_flood_of_labels_gives_equal_bytes_in_any_cut_and_hides_nothing_that_comes_often(seed: int) -> None:
    rng = random.Random(seed)
    layout = Layout.of(Config.model_validate({"limits": {"keys_per_block": 60, "arms_per_service": 20}}))
    rows, arrivals = events(rng, 1500)
    for row in rows:
        row |= {"duration_us": 5, "sample_rate": 1.0, "measures": None, "experiment_id": "e1", "variant": None}
        if rng.random() < 0.6:
            row |= {"version": f"bogus-{rng.randrange(900)}", "service": "checkout"}
    rows.sort(key=lambda row: not row["version"].startswith("bogus") and rng.random() < 0.9)
    whole, cut = OpenBlock.start(layout), OpenBlock.start(layout)
    whole.add(batch(rows), arrivals)
    borders = sorted({0, len(rows), *rng.choices(range(len(rows)), k=40)})
    for start, end in itertools.pairwise(borders):
        cut.add(batch(rows[start:end]), arrivals[start:end])
    assert list(cut.groups(3)) == list(whole.groups(3))
    found = Counter[tuple[str, str]]()
    for cell in cells_of(whole):
        found[cell.service, cell.version] += cell.seen
    expected = Counter((row["service"], row["version"]) for row in rows)
    assert found["checkout", OTHER] > 300
    assert found.total() == expected.total() == sum(whole.rows_d)
    for key in (("checkout", "1"), ("checkout", "2")):
        assert 0 <= expected[key] - found[key] < OFTEN
    for key in (("cart", "1"), ("cart", "2")):
        assert expected[key] == found[key], "another service's flood took rows of this one"


def test_a_row_without_a_usable_key_is_dead() -> None:
    rows, arrivals = events(random.Random(3), 3)
    rows[1]["service"] = "x" * 5000
    block = OpenBlock.start(LAYOUT)
    rejected = block.add(batch(rows), arrivals)
    assert [(r.row, r.dead) for r in rejected if r.dead] == [(1, True)]
    assert (block.dead, sum(block.rows_d)) == (1, 2)


def test_a_repeated_row_is_sampled_as_often_as_it_came() -> None:
    rows, _ = events(random.Random(4), 2000)
    for i, row in enumerate(rows):
        row |= {"timestamp": T0 + i, "duration_us": 5, "sample_rate": 1.0, "measures": None}
    block = OpenBlock.start(LAYOUT)
    block.add(batch(rows + rows), None)
    counts = np.concatenate([unpack(cell.row_sample)[1] for cell in cells_of(block)])
    assert (counts == 2).all()
    assert 0.5 / ROW_SAMPLE < len(counts) / 2000 < 2 / ROW_SAMPLE
