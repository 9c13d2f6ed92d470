"""Cells as bytes against the general reader and plain sums."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import numpy as np
import pytest

from schemas.codec import Malformed, UnknownSchema, header, long
from schemas.delta import (
    Cell,
    Cells,
    ControlCopy,
    Measure,
    Progress,
    cells_head,
    decode_delta,
    encode_delta,
    join_cells,
)
from schemas.packing import pack, unpack
from streams import deltas
from streams.deltas import PackedCells
from tests.streams.cells import packed_cell, packed_cells

PROGRESS = Progress("d", "topic", 1, 2, 3, 4, 5, 1, 2, 1, 9, None, 7)


def counts(rng: random.Random, most: int = 1 << 32) -> bytes:
    keys = sorted(rng.sample(range(most), rng.choice((0, 1, 5, 40))))
    return pack(np.array(keys, np.int64), np.array([rng.choice((1, 2, 200, 1 << 40)) for _ in keys], np.int64))


def cell(rng: random.Random) -> Cell:
    measures = tuple(
        Measure(name, rng.randrange(1, 99), rng.randrange(1 << 62), counts(rng, 4000), counts(rng, 60_000))
        for name in rng.sample(("duration_us", "cpu_us", "größe"), rng.randrange(4))
    )
    numbers = [rng.choice((0, 1, 300, 1 << 61)) for _ in range(11)]
    return Cell(
        rng.choice((None, "e")), "cart", "prod", rng.choice("12"), rng.choice((None, "canary")),
        tuple(rng.choices((None, "eu", "ü"), k=rng.randrange(3))), rng.randrange(3) * 5_000_000, *numbers,
        counts(rng, 128), counts(rng), counts(rng), measures,
    )  # fmt: skip


def test_cells_are_found_where_the_general_reader_finds_them() -> None:
    rng = random.Random(1)
    told = [Cells("d", "topic", p, 3, 70_000 + p, tuple(cell(rng) for _ in range(p % 4))) for p in range(50)]
    found = deltas.read([encode_delta(delta) for delta in told])
    for delta, read in zip(told, found, strict=True):
        assert isinstance(read, PackedCells)
        assert (read.digest, read.topic_id, read.partition, read.block, read.upto) == (
            delta.digest, delta.topic_id, delta.partition, delta.block, delta.upto,
        )  # fmt: skip
        for of, own in zip(delta.cells, read.cells, strict=True):
            assert (*deltas.labels_of(own.labels), own.window) == of.key
            assert (own.upto, own.seen, own.rows, own.late, own.quarantined) == (
                delta.upto, of.seen, of.rows, of.late, of.quarantined,
            )  # fmt: skip
        record = join_cells(cells_head("", "", 0, 0, 0), len(read.cells), b"".join(c.key + c.body for c in read.cells))
        assert not read.cells or decode_delta(record) == Cells("", "", 0, 0, 0, delta.cells)


def plain(cells: list[Cell]) -> dict[str, Any]:
    """Their sum, in Python's own numbers."""
    names = ("rows", "errors", "late", "quarantined", "with_unit", "weight", "error_weight", "lag_us")
    total: dict[str, Any] = {name: sum(getattr(c, name) for c in cells) for name in names}
    total["weight_min"] = min((c.weight_min for c in cells if c.rows), default=0)
    total["weight_max"] = max((c.weight_max for c in cells if c.rows), default=0)

    def add(key: str, data: bytes) -> None:
        keys, found = unpack(data)
        total.setdefault(key, Counter()).update(dict(zip(keys.tolist(), found.tolist(), strict=True)))

    for c in cells:
        for name in ("error_buckets", "affected", "row_sample"):
            add(name, getattr(c, name))
        for measure in c.measures:
            held = total.setdefault(measure.name, [0, 0])
            held[0], held[1] = held[0] + measure.rows, held[1] + measure.total
            add(f"{measure.name} histogram", measure.histogram)
            add(f"{measure.name} joint", measure.joint)
    return total


def summed(bodies: list[bytes]) -> dict[str, Any]:
    """The same of `deltas.total`."""
    arm = deltas.total(bodies)
    names = ("rows", "errors", "late", "quarantined", "with_unit", "weight", "error_weight", "lag_us")
    total: dict[str, Any] = {name: getattr(arm, name) for name in (*names, "weight_min", "weight_max")}

    def add(key: str, sparse: Any) -> None:
        assert sparse.keys.tolist() == sorted(set(sparse.keys.tolist()))
        total[key] = Counter(dict(zip(sparse.keys.tolist(), sparse.counts.tolist(), strict=True)))

    for name in ("error_buckets", "affected", "row_sample"):
        add(name, getattr(arm, name))
    for name, measure in arm.measures.items():
        total[name] = [measure.rows, measure.total]
        add(f"{name} histogram", measure.histogram)
        add(f"{name} joint", measure.joint)
    return total


@pytest.mark.parametrize("parts", [1, 2, 3, 5, 17])
def test_bodies_add_up_exactly_and_merge_to_one_where_it_fits(parts: int) -> None:
    rng = random.Random(parts)
    merged = 0
    for _ in range(40):
        cells = [cell(rng) for _ in range(parts)]
        bodies = [packed_cell(c).body for c in cells]
        assert summed(bodies) == plain(cells)
        fewer = deltas.merged(bodies)
        merged += len(fewer) == 1
        assert summed(fewer) == plain(cells)
        some = rng.randrange(parts)
        assert summed([*deltas.merged(bodies[:some]), *deltas.merged(bodies[some:])]) == plain(cells)
    assert {1: 40, 2: 40, 17: 0}.get(parts, merged) == merged, "sums beyond 63 bits stay apart, others do not"


def test_without_bodies_nothing_was_counted() -> None:
    assert deltas.total([]).rows == 0
    assert deltas.merged([]) == []


def test_counts_only_keeps_the_numbers_and_drops_what_evidence_needs() -> None:
    found = cell(random.Random(7))
    arm = deltas.total([packed_cell(found).counts_only])
    assert (arm.rows, arm.errors, arm.weight, arm.lag_us) == (found.rows, found.errors, found.weight, found.lag_us)
    assert not arm.measures
    assert not arm.error_buckets.total


def test_a_broken_record_takes_no_neighbour() -> None:
    rng = random.Random(3)
    good = encode_delta(Cells("d", "topic", 0, 0, 9, (cell(rng), cell(rng))))
    for at in range(len(good)):
        short, progress, after = deltas.read([good[:at], encode_delta(PROGRESS), good])
        assert isinstance(short, (Malformed, UnknownSchema)), at
        assert progress == PROGRESS
        assert isinstance(after, PackedCells)
        assert len(after.cells) == 2
    (trailing,) = deltas.read([good + b"\0"])
    assert isinstance(trailing, Malformed)
    bad = Cells("d", "topic", 0, 0, 9, (Cell(*[*vars_of(cell(rng))[:18], b"\x01", b"", b"", ()]),))
    (half_a_pair,) = deltas.read([encode_delta(bad)])
    assert isinstance(half_a_pair, Malformed)
    head = header("Delta") + b"\0\2d\4id"  # a fuzzer's find: a partition beyond 32 bits
    (far,) = deltas.read([head + long(1 << 32) + long(0) + long(9) + b"\0"])
    assert isinstance(far, Malformed)


def vars_of(found: Cell) -> list[Any]:
    return [getattr(found, name) for name in Cell.__slots__]


def test_other_kinds_and_none_pass_through() -> None:
    copy = ControlCopy(3, b"x")
    assert deltas.read([encode_delta(copy), None, encode_delta(PROGRESS)]) == [copy, None, PROGRESS]


def test_an_array_in_blocks_with_their_size_is_read_too() -> None:
    found = packed_cell(cell(random.Random(5)))
    raw = found.key + found.body
    sized = cells_head("d", "topic", 0, 0, 9) + long(-1) + long(len(raw)) + raw + b"\0"
    (read,) = deltas.read([sized])
    assert isinstance(read, PackedCells)
    assert (read.cells[0].key, read.cells[0].body) == (found.key, found.body)
    assert packed_cells(decode_delta(sized)).cells[0].body == found.body  # pyright: ignore[reportArgumentType]
