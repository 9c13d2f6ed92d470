"""Rows on disk while the store is away: files in order, each whole or not there, up to a number of bytes.

A file holds rows of several tables, each as a stream of Arrow, compressed. It is written beside its place, flushed to the
disk, then named; so a kill leaves no half file. Rows are absolute, so that a file which was stored and then not deleted does
no harm.

Raw events have files of their own, which share the limit and yield: where something finds no room, the oldest of them are
shed. How many were is kept in `shed.json`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import pyarrow  # pyright: ignore[reportMissingTypeStubs]  # has no types
import structlog

from schemas.frozen import frozen
from streams.sinks.columns import Columns

pa: Any = pyarrow
SUFFIX, RAW_SUFFIX = ".rows", ".events"
BROKEN = ".broken"
SHED_FILE = "shed.json"

log = structlog.get_logger("sink")
Rows = Mapping[str, Columns]
"""By table."""
_TABLE = b"table"
"""Where a stream's schema has the table's name."""
_COMPRESSED = pa.ipc.IpcWriteOptions(compression="zstd")


@frozen()
class Shed:
    """Raw events that were given up since the folder was made, and when that was so for the first and the last time."""

    rows: int = 0
    first_us: int = 0
    last_us: int = 0

    @classmethod
    def of(cls, folder: Path) -> Self:
        """As the folder tells it; none where it does not."""
        try:
            found = json.loads((folder / SHED_FILE).read_text())
            return cls(int(found["rows"]), int(found["first_us"]), int(found["last_us"]))
        except (OSError, ValueError, KeyError, TypeError):
            return cls()


class Spool:
    """The files of a folder, oldest first; `bytes_max` is reached when no further file fits."""

    def __init__(self, folder: Path, bytes_max: int) -> None:
        self.folder = folder
        self.bytes_max = bytes_max
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob("*.new"):
            left.unlink()
        self._sizes = _found(folder, SUFFIX)
        self._raw_sizes = _found(folder, RAW_SUFFIX)
        self._next = 1 + max((_number(path) for path in (*self._sizes, *self._raw_sizes)), default=0)
        self.shed = Shed.of(folder)

    def __len__(self) -> int:
        """Files that are not raw events'."""
        return len(self._sizes)

    @property
    def raw_files(self) -> int:
        """Files of raw events."""
        return len(self._raw_sizes)

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(self._sizes.values()) + sum(self._raw_sizes.values())

    def age_s(self) -> float:
        """How long the oldest file has waited; 0 where there is none."""
        firsts = [next(iter(sizes)) for sizes in (self._sizes, self._raw_sizes) if sizes]
        return max((max(0.0, time.time() - path.stat().st_mtime) for path in firsts), default=0.0)

    def put(self, rows: Rows) -> bool:
        """Keep rows; False where there is no room, or the disk takes none."""
        data = _packed(rows)
        return self._make_room(len(data)) and self._write(f"{self._next:012d}{SUFFIX}", data, self._sizes)

    def put_raw(self, rows: Rows) -> bool:
        """Keep raw events; False where there is no room even without older ones, or the disk takes none: they are shed."""
        data, count = _packed(rows), sum(map(len, rows.values()))
        name = f"{self._next:012d}-{count}{RAW_SUFFIX}"
        kept = self._make_room(len(data)) and self._write(name, data, self._raw_sizes)
        if not kept:
            self._shed(count)
        return kept

    def oldest(self) -> tuple[Path, Rows] | None:
        """The file that is next and what it holds. One that cannot be read is set aside, and said."""
        return self._oldest(self._sizes)

    def oldest_raw(self) -> tuple[Path, Rows] | None:
        """The same of raw events."""
        return self._oldest(self._raw_sizes)

    def done(self, path: Path) -> None:
        """Its rows are stored."""
        path.unlink(missing_ok=True)
        self._sizes.pop(path, None)
        self._raw_sizes.pop(path, None)

    def _oldest(self, sizes: dict[Path, int]) -> tuple[Path, Rows] | None:
        while sizes:
            path = next(iter(sizes))
            try:
                return path, _unpacked(path.read_bytes())
            except (OSError, ValueError) as error:
                log.error("a file of the spool cannot be read and is set aside", file=str(path), error=str(error))
                if path.exists():
                    path.rename(path.with_suffix(BROKEN))
                del sizes[path]
        return None

    def _make_room(self, size: int) -> bool:
        """Whether so many bytes fit, once as many of the oldest raw events are gone as must be."""
        if sum(self._sizes.values()) + size > self.bytes_max:
            return False
        while self.bytes + size > self.bytes_max:
            path = next(iter(self._raw_sizes))
            self._shed(_count(path))
            self.done(path)
        return True

    def _shed(self, rows: int) -> None:
        now_us = time.time_ns() // 1000
        self.shed = Shed(self.shed.rows + rows, self.shed.first_us or now_us, now_us)
        path = self.folder / SHED_FILE
        try:
            fresh = path.with_suffix(".new")
            fresh.write_text(json.dumps(asdict(self.shed)))
            fresh.replace(path)
        except OSError:  # the count goes on, and the metric has it
            pass
        log.warning("raw events were shed", rows=rows, folder=str(self.folder))

    def _write(self, name: str, data: bytes, sizes: dict[Path, int]) -> bool:
        path = self.folder / name
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
        sizes[path] = len(data)
        return True


def _found(folder: Path, suffix: str) -> dict[Path, int]:
    return {path: path.stat().st_size for path in sorted(folder.glob(f"*{suffix}"))}


def _number(path: Path) -> int:
    return int(path.stem.partition("-")[0])


def _count(path: Path) -> int:
    """Rows of a file of raw events, as its name tells."""
    return int(path.stem.partition("-")[2] or 0)


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
