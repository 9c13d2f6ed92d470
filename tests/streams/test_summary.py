"""What a window's record says of its content; records of the version before are read."""

from __future__ import annotations

import io

import fastavro
import numpy as np

from schemas import codec
from schemas.config import Config
from schemas.window import WindowSummary
from streams import deltas
from streams.aggregate import OpenBlock
from streams.judge_settings import JudgeSettings
from streams.summary import of_window
from tests.streams.cells import cells_of, packed_cell
from tests.streams.sinks import records
from tests.streams.test_aggregate import LAYOUT, T0, batch

EVENT = {
    "service": "shop", "environment": "test", "version": "2", "experiment_id": None, "variant": None, "segment": None,
    "unit_id": None, "instance": None, "endpoint": None, "status": 200, "error": None, "cpu_us": None,
    "memory_bytes": None, "measures": None, "sample_rate": 1.0,
}  # fmt: skip
ROWS, TWICE = 40_000, 10_000


def summary(copies: int) -> WindowSummary:
    """Of a window with so many rows that come twice."""
    rows = [EVENT | {"timestamp": T0 + i, "duration_us": 1000 + i} for i in range(ROWS)]
    rows += rows[:copies]
    block = OpenBlock.start(LAYOUT)
    assert block.add(batch(rows), np.full(len(rows), T0 + 100_000, np.int64)) == []
    content = deltas.total([packed_cell(cell).body for cell in cells_of(block)])
    settings = JudgeSettings.of(Config(), 0, 1, {})
    return of_window(settings, (None, "shop", "test"), T0, ("2", None), content, 1)


def test_copies_are_estimated() -> None:
    assert (summary(0).rows, summary(0).duplicates) == (ROWS, 0)
    doubled = summary(TWICE)
    assert doubled.rows == ROWS + TWICE
    assert abs(doubled.duplicates - TWICE) < 4 * (64 * TWICE) ** 0.5, "four standard deviations"


def test_windows_of_the_version_before_are_read() -> None:
    former = codec.history("WindowSummary")[1]
    body = records.window().to_avro()
    del body["duplicates"]
    out = io.BytesIO()
    out.write(codec.MAGIC + codec.schema_fingerprint(former))
    fastavro.schemaless_writer(out, codec.parse(former), body)
    assert WindowSummary.decode(out.getvalue()) == records.window()
