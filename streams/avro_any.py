"""Avro records of any schema, mapped like JSON: record by record through the general reader, so an order of magnitude slower
than what the compiled walk knows. For writers with nested fields, and for inputs with a mapping."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime, time
from decimal import Decimal
from io import BytesIO
from typing import Any

import fastavro

from schemas import codec
from streams.fields import Faults, Fields
from streams.json_slots import Tree
from streams.packed import Packed
from streams.rows import Rows

UNREADABLE = (EOFError, IndexError, KeyError, ValueError, OverflowError, MemoryError, TypeError, AttributeError)
"""What bytes that are not what they should be make fastavro raise."""


class AnyAvro:
    """One writer's schema."""

    def __init__(self, schema: codec.Document, fields: Fields) -> None:
        self.schema = fastavro.parse_schema(schema)
        self.fields = fields
        self.tree = Tree(fields.paths)

    def rows(self, bodies: Sequence[bytes]) -> tuple[Rows, Faults]:
        """A row of each; one with a fault means nothing."""
        faults: dict[int, str] = {}
        texts: list[bytes] = []
        for i, body in enumerate(bodies):
            stream = BytesIO(body)
            try:
                record = fastavro.schemaless_reader(stream, self.schema, None)
                texts.append(json.dumps(record, default=_plain).encode())
                if stream.tell() != len(body):
                    faults[i] = "there are bytes behind the record"
            except (EOFError, IndexError):
                faults[i] = "the record ends early"
            except UNREADABLE as error:
                faults[i] = f"the record does not follow its schema: {error}"
            if len(texts) == i:
                texts.append(b"{}")
        slots, fault = self.tree.walk(Packed.of(texts))
        rows, more = self.fields.rows(slots)
        unread = dict.fromkeys(fault.nonzero()[0].tolist(), "the record holds what JSON cannot")
        return rows, sorted((dict(more) | unread | faults).items())


def _plain(value: Any) -> Any:
    """What JSON has no type for: times as ISO 8601, decimals as text, bytes as hex."""
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    return value.hex() if isinstance(value, bytes) else str(value) if isinstance(value, Decimal) else repr(value)
