"""Rows on disk while the store is away: files in order, each whole or not there, up to a number of bytes.

A file holds rows of several tables, as JSON, compressed. It is written beside its place, flushed to the disk, then named; so a
kill leaves no half file. Rows are absolute, so that a file which was stored and then not deleted does no harm.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from streams.sinks.tables import Row

SUFFIX = ".rows"
BROKEN = ".broken"

log = structlog.get_logger("sink")
Rows = Mapping[str, Sequence[Row]]
"""By table."""


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
        data = zlib.compress(json.dumps(dict(rows), separators=(",", ":")).encode(), 1)
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
                rows: dict[str, Any] = json.loads(zlib.decompress(path.read_bytes()))
                return path, rows
            except (OSError, ValueError, zlib.error) as error:
                log.error("a file of the spool cannot be read and is set aside", file=str(path), error=str(error))
                if path.exists():
                    path.rename(path.with_suffix(BROKEN))
                del self._sizes[path]
        return None

    def done(self, path: Path) -> None:
        """Its rows are stored."""
        path.unlink(missing_ok=True)
        del self._sizes[path]
