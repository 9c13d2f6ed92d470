"""Rows on disk while the store is away: files in order, each whole or not there, up to a number of bytes.

A file holds rows of several tables, each as a stream of Arrow, compressed. It is written beside its place, flushed to the
disk, then named; so a kill leaves no half file. Rows are absolute, so that a file which was stored and then not deleted does
no harm.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow  # pyright: ignore[reportMissingTypeStubs]  # has no types
import structlog

from streams.sinks.columns import Columns

pa: Any = pyarrow
SUFFIX = ".rows"
BROKEN = ".broken"

log = structlog.get_logger("sink")
Rows = Mapping[str, Columns]
"""By table."""
_TABLE = b"table"
"""Where a stream's schema has the table's name."""
_COMPRESSED = pa.ipc.IpcWriteOptions(compression="zstd")


class Spool:
    """The files of a folder, oldest first; `bytes_max` is reached when no further file fits."""

    def __init__(self, folder: Path, bytes_max: int) -> None:
        self.folder = folder
        self.bytes_max = bytes_max
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob("*.new"):
            left.unlink()
        self._sizes = {path: path.stat().st_size for path in sorted(folder.glob(f"*{SUFFIX}"))}
        self._next = 1 + max((int(path.stem) for path in self._sizes), default=0)

    def __len__(self) -> int:
        return len(self._sizes)

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(self._sizes.values())

    def age_s(self) -> float:
        """How long the oldest file has waited; 0 where there is none."""
        oldest = next(iter(self._sizes), None)
        return 0.0 if oldest is None else max(0.0, time.time() - oldest.stat().st_mtime)

    def put(self, rows: Rows) -> bool:
        """Keep rows; False where there is no room, or the disk takes none."""
        data = _packed(rows)
        if self.bytes + len(data) > self.bytes_max:
            return False
        path = self.folder / f"{self._next:012d}{SUFFIX}"
        fresh = path.with_suffix(".new")
        try:
            with fresh.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        except OSError as error:
            log.warning("the spool cannot be written", folder=str(self.folder), error=str(error))
            fresh.unlink(missing_ok=True)
            return False
        self._next += 1
        self._sizes[path] = len(data)
        return True

    def oldest(self) -> tuple[Path, Rows] | None:
        """The file that is next and what it holds. One that cannot be read is set aside, and said."""
        while self._sizes:
            path = next(iter(self._sizes))
            try:
                return path, _unpacked(path.read_bytes())
            except (OSError, ValueError) as error:
                log.error("a file of the spool cannot be read and is set aside", file=str(path), error=str(error))
                if path.exists():
                    path.rename(path.with_suffix(BROKEN))
                del self._sizes[path]
        return None

    def done(self, path: Path) -> None:
        """Its rows are stored."""
        path.unlink(missing_ok=True)
        del self._sizes[path]


def _packed(rows: Rows) -> bytes:
    buffer = pa.BufferOutputStream()
    for table, columns in rows.items():
        schema = columns.schema.with_metadata({_TABLE: table})
        with pa.ipc.new_stream(buffer, schema, options=_COMPRESSED) as stream:
            stream.write_table(columns.replace_schema_metadata(schema.metadata))
    return buffer.getvalue().to_pybytes()


def _unpacked(data: bytes) -> Rows:
    """Raises ValueError where it is not what `_packed` made."""
    reader = pa.BufferReader(data)
    rows: dict[str, Columns] = {}
    while reader.tell() < len(data):
        columns = pa.ipc.open_stream(reader).read_all()
        rows[columns.schema.metadata[_TABLE].decode()] = columns.replace_schema_metadata()
    return rows
