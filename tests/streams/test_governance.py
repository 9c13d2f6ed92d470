"""What a row must be to count, row by row."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from schemas import codec
from schemas.config import Config, Input
from schemas.delta import Cells, Progress
from streams.aggregate import OpenBlock
from streams.columns import EVENT_SCHEMA
from streams.deltas import Read
from streams.formats.avro import FORMAT
from streams.judge import Judge
from streams.judge_settings import JudgeSettings
from streams.layout import Layout
from streams.packed import Packed
from streams.rows import Rows
from tests.streams.cells import cells_of, packed_cells

T0 = 1_790_000_000_000_000
LAYOUT = Layout.of(Config.model_validate({"measures": ["cart"]}))
ROW: dict[str, Any] = dict.fromkeys(field.name for field in EVENT_SCHEMA) | {
    "timestamp": T0, "service": "cart", "environment": "test", "version": "1", "status": 200, "duration_us": 5,
    "sample_rate": 1.0,
}  # fmt: skip


def rows(*changes: dict[str, Any]) -> Rows:
    told = [ROW | change for change in changes]
    columns = [pa.array([row[field.name] for row in told], field.type) for field in EVENT_SCHEMA]
    return Rows.of(pa.RecordBatch.from_arrays(columns, schema=EVENT_SCHEMA), ["cart"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"duration_us": -1}, "duration_us is negative"),
        ({"duration_us": -(2**63)}, "duration_us is negative"),
        ({"duration_us": 2**63 - 1}, "duration_us is negative, too large"),
        ({"memory_bytes": -5}, "memory_bytes is negative"),
        ({"measures": {"cart": math.nan}}, "cart is negative, too large or no number"),
        ({"measures": {"cart": math.inf}}, "cart is negative, too large or no number"),
        ({"measures": {"cart": -math.inf}}, "cart is negative, too large or no number"),
        ({"sample_rate": 0.0}, "sample_rate"),
        ({"sample_rate": math.nan}, "sample_rate"),
        ({"sample_rate": math.inf}, "sample_rate"),
        ({"sample_rate": -0.5}, "sample_rate"),
        ({"timestamp": T0 + 60_000_001}, "lies in the future"),
        ({"timestamp": 2**63 - 1}, "lies in the future"),
    ],
)
def test_an_unusable_value_quarantines_its_row_and_no_other(change: dict[str, Any], reason: str) -> None:
    block = OpenBlock.start(LAYOUT)
    (rejected,) = block.add(rows({}, change, {}), np.full(3, T0))
    assert (rejected.row, reason in rejected.reason, rejected.dead) == (1, True, False)
    assert [(cell.rows, cell.quarantined) for cell in cells_of(block)] == [(2, 1)]
    assert block.max_event_time == T0, "an unusable row moved the watermark"


@pytest.mark.parametrize("time", [T0 - 5_000_001, 0, -(2**63)])
def test_a_late_row_is_counted_where_it_arrived(time: int) -> None:
    block = OpenBlock.start(LAYOUT)
    block.add(rows({"timestamp": time}), np.full(1, T0))
    ((window, late),) = [(cell.window, cell.late) for cell in cells_of(block)]
    assert (window, late) == (T0 // 5_000_000 * 5_000_000, 1)


def test_a_measure_that_nobody_registered_can_hold_anything() -> None:
    assert OpenBlock.start(LAYOUT).add(rows({"measures": {"other": math.nan}}), np.full(1, T0)) == []


@pytest.mark.parametrize(
    ("label", "usable"),
    [
        ("2.4.0", True), ("größer 2", True), ("版本-2", True), ("e\u0301", True), ("x" * 256, True),
        ("", False), ("x" * 257, False), ("é" * 129, False), ("2\x00", False), ("2\n", False),
        ("a\tb", False), ("2\x7f", False), ("2\x85", False), (" 2", False), ("2 ", False), ("2\u00a0", False),
        ("2\u200b", False), ("\u202e2", False), ("2\u2028", False),
        ("\ufeff2", False), ("2\ufffd", False), ("\ue000", False), ("\U000e0041", False),
    ],
)  # fmt: skip
def test_labels_are_visible_and_short(label: str, usable: bool) -> None:
    for name in ("version", "segment"):
        block = OpenBlock.start(LAYOUT)
        rejected = block.add(rows({}, {name: label}, {}), np.full(3, T0))
        assert [reject.row for reject in rejected if reject.reason.startswith(name)] == ([] if usable else [1])
        assert (block.dead, sum(cell.rows for cell in cells_of(block))) == ((0, 3) if usable else (1, 2))


@pytest.mark.parametrize("junk", [b"\xff\xfe", b"\xc3(", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xc0\x80"])
@pytest.mark.parametrize("name", ["version", "segment", "unit_id", "endpoint"])
def test_a_text_that_is_not_utf8_hurts_its_own_row_alone(name: str, junk: bytes) -> None:
    good = codec.encode("RequestEvent", ROW | {name: "x" * len(junk)})
    bad = good.replace(b"x" * len(junk), junk)
    config = Config()
    decoded = FORMAT.decoder(config, "t", Input()).decode(Packed.of([good, bad, good]))
    assert [(reject.index, reject.reason) for reject in decoded.rejects] == [(1, "a text is not UTF-8")]
    block = OpenBlock.start(Layout.of(config))
    assert block.add(decoded.rows, np.full(len(decoded.rows), T0)) == []
    assert sum(cell.rows for cell in cells_of(block)) == 2


def test_an_event_from_the_future_never_moves_the_watermark() -> None:
    """Neither the block's largest event time nor what the judge closes; the row is told as quarantined where it arrived."""
    deltas: dict[bool, list[Read]] = {}
    for poisoned in (False, True):
        block, times = OpenBlock.start(LAYOUT), np.full(3, T0)
        ahead = {"timestamp": T0 + 3_600_000_000} if poisoned else {"timestamp": T0 - 3_600_000_000}
        block.add(rows({}, ahead, {}), times)
        where = (LAYOUT.digest, "id", 0, 0, 3)
        progress = Progress(*where, sum(block.rows_d), 3, 0, 0, 1, 99, block.max_event_time, T0 + 7_000_000)
        deltas[poisoned] = [packed_cells(Cells(*where, tuple(cells_of(block)))), progress]
    closed: list[int] = []
    for poisoned, log in deltas.items():
        judge = Judge(JudgeSettings.of(Config(), 0, 1, {"id": "davy.events"}))
        judge.settings = dataclasses.replace(judge.settings, digest=LAYOUT.digest)
        judge.fold.digest = LAYOUT.digest
        for delta in log:
            judge.step(delta)
        assert judge.fold.sources["id", 0].frontier == 3
        assert judge.windows.counted["quarantined"] == poisoned
        assert judge.windows.counted["late"] == (not poisoned)
        closed.append(judge.closed_us)
    assert closed == [(T0 - 5_000_000) // 5_000_000 * 5_000_000] * 2
