"""The executor's journal of one experiment: what is about to be done and what came of it, each line on disk before the next.

A crash can leave the last line half written: it is passed over, as if it had not been begun. At `BYTES_MAX` the file is set
aside (`.old`, the one before is dropped) between two orders, never within one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from schemas.located import is_mapping

BYTES_MAX = 4_000_000

Entry = dict[str, Any]


class Journal:
    """A file of JSON lines."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self) -> Iterator[Entry]:
        """All lines that can be read, in order."""
        try:
            lines = self.path.read_bytes().splitlines()
        except FileNotFoundError:
            return
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if is_mapping(entry):
                yield entry

    def of(self, order_id: str) -> list[Entry]:
        """The lines of one order."""
        return [entry for entry in self.entries() if entry.get("order_id") == order_id]

    def write(self, entry: Entry) -> None:
        """Append; returns once it is on disk."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            # a line break first: what a crash left half written must not swallow this one
            file.write(b"\n" + json.dumps(entry, sort_keys=True).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def set_aside(self) -> None:
        """Begin a new file where this one has become long; only between two orders."""
        if self.path.exists() and self.path.stat().st_size > BYTES_MAX:
            self.path.replace(self.path.with_suffix(".old"))
