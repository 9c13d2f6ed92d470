"""RequestEvents as columns: the Arrow schema that the simulator and the sources give, and that decoding
gives, too."""

from __future__ import annotations

import pyarrow as pa

EVENT_SCHEMA: pa.Schema = pa.schema(
    [
        pa.field("timestamp", pa.timestamp("us"), nullable=False),
        pa.field("service", pa.string(), nullable=False),
        pa.field("environment", pa.string(), nullable=False),
        pa.field("version", pa.string(), nullable=False),
        pa.field("experiment_id", pa.string()),
        pa.field("variant", pa.string()),
        pa.field("segment", pa.string()),
        pa.field("unit_id", pa.string()),
        pa.field("instance", pa.string()),
        pa.field("endpoint", pa.string()),
        pa.field("status", pa.int32(), nullable=False),
        pa.field("error", pa.bool_()),
        pa.field("duration_us", pa.int64(), nullable=False),
        pa.field("cpu_us", pa.int64()),
        pa.field("memory_bytes", pa.int64()),
        pa.field("measures", pa.map_(pa.string(), pa.field("value", pa.float64(), nullable=False))),
        pa.field("sample_rate", pa.float64(), nullable=False),
    ]
)
"""Times are naive Arrow timestamps that mean UTC."""
