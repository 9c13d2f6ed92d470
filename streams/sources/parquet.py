"""Parquet, with the columns of RequestEvent."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import UserError
from streams.columns import EVENT_SCHEMA
from streams.sources.base import Reject, conform


class Parquet:
    """The source."""

    extension = ".parquet"

    def read(self, path: Path) -> tuple[pa.Table, list[Reject]]:
        """A row without a required value is a reject; a column of another kind makes the file unusable."""
        rejects: list[Reject] = []
        try:
            found = pq.read_table(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise UserError(f"{path}: it is not a Parquet file: {error}") from error
        return conform(path, found, 1, rejects), rejects

    def write(self, path: Path, batches: Iterable[pa.RecordBatch]) -> None:
        """A row group per batch."""
        with pq.ParquetWriter(path, EVENT_SCHEMA) as writer:
            for batch in batches:
                writer.write_batch(batch)


SOURCE = Parquet()
