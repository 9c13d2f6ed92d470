"""Batches become the bytes that the reference codec writes."""

from __future__ import annotations

import pyarrow as pa

from schemas import codec
from streams.columns import EVENT_SCHEMA
from streams.encode import encode
from streams.scenario import load
from streams.simulator import Simulator


def test_each_row_is_what_the_codec_writes() -> None:
    batch = Simulator(load("errors")).events(0, 200_000, {"canary": 0.5})
    values = encode(batch).to_pylist()
    assert len(values) == batch.num_rows > 100
    for value, row in zip(values, batch.to_pylist(), strict=True):
        name, record = codec.decode(value)
        assert name == "RequestEvent"
        assert codec.encode(name, record) == value
        assert {k: v for k, v in record.items() if k != "timestamp"} == {
            k: v for k, v in row.items() if k != "timestamp"
        }


def test_measures_and_nulls_survive() -> None:
    row = {
        "timestamp": 5, "service": "s", "environment": "e", "version": "v", "status": 200, "duration_us": 1,
        "measures": [("queue", 2.5)], "sample_rate": 0.5,
    }  # fmt: skip
    arrays = [pa.array([row.get(field.name)], field.type) for field in EVENT_SCHEMA]
    value = encode(pa.RecordBatch.from_arrays(arrays, schema=EVENT_SCHEMA)).to_pylist()[0]
    record = codec.decode_as("RequestEvent", value)
    assert record["measures"] == {"queue": 2.5}
    assert record["unit_id"] is None
    assert (record["timestamp"], record["sample_rate"]) == (5, 0.5)
