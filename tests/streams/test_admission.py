"""Who gets a cell, row by row; what a flood of labels can and cannot do; and the compiled loop against plain Python."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from schemas.config import Config
from streams.aggregate import OpenBlock
from streams.columns import EVENT_SCHEMA
from streams.kernels.admission import OFTEN
from streams.layout import Layout
from streams.rows import Rows
from tests.streams.admission_oracle import OTHER, Admission, Labels
from tests.streams.cells import cells_of

LAYOUT = dataclasses.replace(Layout.of(Config()), keys_per_block=100, arms_per_service=10)


def labels(version: str, service: str = "cart", segment: str | None = None) -> Labels:
    return ("e", service, "prod", version, None, segment)


def number(admission: Admission, key: Labels, window: int = 0) -> int:
    found = admission.cell(key, window)
    return admission.late(key, window) if found is None else found


def test_what_comes_first_has_cells_in_every_window_to_come() -> None:
    admission = Admission(LAYOUT)
    first = number(admission, labels("1"))
    for i in range(50):
        number(admission, labels(f"bogus-{i}"))
    assert number(admission, labels("1")) == first
    assert admission.keys[number(admission, labels("1"), 7)] == (labels("1"), 7)
    told = {key[3] for key, _ in admission.keys}
    assert told == {"1", OTHER, *(f"bogus-{i}" for i in range(9))}


def test_what_comes_late_has_a_cell_from_the_row_on_with_which_it_is_often() -> None:
    admission = Admission(LAYOUT)
    for i in range(10):
        number(admission, labels(f"bogus-{i}"))
    cells = [admission.keys[number(admission, labels("2"))][0] for _ in range(OFTEN + 3)]
    assert cells == [(None, "cart", "prod", OTHER, None, OTHER)] * (OFTEN - 1) + [labels("2")] * 4


def test_a_flood_of_one_service_leaves_the_others_alone() -> None:
    admission = Admission(LAYOUT)
    for i in range(1000):
        number(admission, labels(f"bogus-{i}"))
    assert admission.keys[number(admission, labels("1", "pay"))] == (labels("1", "pay"), 0)


def test_a_flood_of_services_is_told_together() -> None:
    admission = Admission(LAYOUT)
    for i in range(1000):
        number(admission, labels("1", f"bogus-{i}"))
    assert len(admission.keys) == 101
    assert admission.keys[-1] == ((None, OTHER, OTHER, OTHER, None, OTHER), 0)


@pytest.mark.parametrize("often", [False, True])
def test_in_a_full_block_dimensions_are_told_together(often: bool) -> None:
    admission = Admission(dataclasses.replace(LAYOUT, keys_per_block=20))
    number(admission, labels("1", segment="eu"))
    for i in range(50):
        number(admission, labels("1", segment=f"bogus-{i}"))
    assert admission.keys[-1] == (labels("1", segment=OTHER), 0)
    assert number(admission, labels("1", segment="eu")) == 0
    if often:
        cells = [admission.keys[number(admission, labels("2", segment="eu"))][0] for _ in range(OFTEN)]
        assert cells[-1] == labels("2", segment=OTHER)
        assert set(cells[:-1]) == {(None, "cart", "prod", OTHER, None, OTHER)}


def flood(rng: random.Random) -> list[tuple[Labels, int]]:
    """Keys and windows of rows in which few labels come often and many but once."""
    bogus = rng.choice([0.1, 0.5, 0.9])

    def label(usual: list[str | None], name: str) -> str | None:
        return f"{name}-{rng.randrange(2000)}" if rng.random() < bogus / 3 else rng.choice(usual)

    return [
        (
            (
                label(["e1", None], "e"), label(["cart", "pay", OTHER], "s"), rng.choice(["prod", "test"]),
                label(["1", "2", OTHER], "v"), rng.choice(["canary", None]), label(["eu", None], "r"),
            ),
            rng.randrange(3),
        )
        for _ in range(1500)
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(12))
def test_the_compiled_loop_admits_as_plain_python_does(seed: int) -> None:
    rng = random.Random(seed)
    layout = dataclasses.replace(
        LAYOUT, keys_per_block=rng.choice([30, 300, 10_000]), arms_per_service=rng.choice([3, 40, 500])
    )
    admission, oracle = Admission(layout), Counter[tuple[Labels, int]]()
    rows: list[dict[str, Any]] = []
    for key, window in flood(rng):
        oracle[admission.keys[number(admission, key, window)]] += 1
        names = ("experiment_id", "service", "environment", "version", "variant", "segment")
        rows.append(dict(zip(names, key, strict=True)) | {"timestamp": window * layout.window_us, "status": 200})
        rows[-1] |= {"duration_us": 1, "sample_rate": 1.0}
    columns = [pa.array([row.get(field.name) for row in rows], field.type) for field in EVENT_SCHEMA]
    block = OpenBlock.start(layout)
    events = Rows.of(pa.RecordBatch.from_arrays(columns, schema=EVENT_SCHEMA), [])
    half = rng.randrange(len(events))
    block.add(events, None, np.arange(half))
    block.add(events, None, np.arange(half, len(events)))
    found = {(cell.key[:5] + cell.dimensions, cell.window // layout.window_us): cell.rows for cell in cells_of(block)}
    assert found == dict(oracle)
