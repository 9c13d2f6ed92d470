"""One JSON object per line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from schemas import codec
from streams.sources.base import EventRow, Reject, columns, complaint, conform

LINES_AT_ONCE = 20_000
"""Lines that are turned into columns together: bounds the memory that Python objects take."""
_EVENT = TypeAdapter(EventRow)


class Ndjson:
    """The source."""

    extension = ".ndjson"

    def read(self, path: Path) -> tuple[pa.Table, list[Reject]]:
        """Empty lines are passed over; a line that is no event is a reject."""
        rejects: list[Reject] = []
        rows = _rows(path, rejects)
        parts = [columns([])]
        while part := list(islice(rows, LINES_AT_ONCE)):
            parts.append(columns(part))
        return conform(path, pa.concat_tables(parts), 1, rejects), rejects

    def write(self, path: Path, batches: Iterable[pa.RecordBatch]) -> None:
        """Nulls are left out; times are ISO 8601."""
        with path.open("w", encoding="utf-8") as file:
            for batch in batches:
                times = batch.column("timestamp").cast(pa.int64()).to_pylist()
                for time_us, row in zip(times, batch.to_pylist(), strict=True):
                    filled = {name: value for name, value in row.items() if value is not None}
                    if "measures" in filled:
                        filled["measures"] = dict(filled["measures"])
                    file.write(json.dumps(filled | {"timestamp": codec.iso(time_us)}, separators=(",", ":")) + "\n")


SOURCE = Ndjson()


def _rows(path: Path, rejects: list[Reject]) -> Iterator[EventRow]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.isspace():
                continue
            try:
                yield _EVENT.validate_json(line)
            except ValidationError as error:
                rejects.append(Reject(f"{path}:{number}", complaint(error)))
