"""RequestEvent: the columns that services emit, in the order of the schema."""

from __future__ import annotations

from schemas import codec

COLUMNS: tuple[str, ...] = tuple(field["name"] for field in codec.document("RequestEvent")["fields"])
REQUIRED: tuple[str, ...] = ("timestamp", "service", "environment", "version", "status", "duration_us")
