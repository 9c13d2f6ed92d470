"""RequestEvents from columns to Avro bytes, a batch at a time."""

from __future__ import annotations

import json
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc
import pyruhvro

from schemas import codec


@cache
def schema_text() -> str:
    """The RequestEvent schema as JSON text."""
    return json.dumps(codec.document("RequestEvent"))


def bodies(batch: pa.RecordBatch) -> pa.BinaryArray:
    """Each row's Avro body, without a header; binary (n,)."""
    return pyruhvro.serialize_record_batch(batch, schema_text(), 1)[0]


def encode(batch: pa.RecordBatch) -> pa.BinaryArray:
    """Each row in single-object encoding, as `schemas.codec.encode` writes it; binary (n,)."""
    header = pa.scalar(codec.header("RequestEvent"), pa.binary())
    return pc.binary_join_element_wise(header, bodies(batch), pa.scalar(b"", pa.binary()))
