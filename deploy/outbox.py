"""What is to be sent to one receiver, in order, on disk: one file per message, so that a crash loses none.

A message's file is written beside its place and renamed; it goes once the receiver took it. Beyond `limit` the oldest go, and
are counted. Safe for one writer and one sender in different threads.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from prometheus_client import Counter, Gauge

SUFFIX = ".message"
WAITING = Gauge("davy_alerts_waiting", "Messages that a receiver has not taken yet.", ["receiver"])
DROPPED = Counter("davy_alerts_dropped_total", "Messages that were given up.", ["receiver", "reason"])


class Outbox:
    """The folder of one receiver."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        self._waiting = sorted(path.name for path in folder.iterdir() if path.suffix == SUFFIX)
        self._next = int(self._waiting[-1].partition(".")[0]) + 1 if self._waiting else 0
        self._count()

    def put(self, content: bytes) -> None:
        """At the end; it is on disk when this returns."""
        with self._lock:
            name = f"{self._next:012d}{SUFFIX}"
            self._next += 1
            draft = self.folder / f"{name}.part"
            with draft.open("wb") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
            draft.replace(self.folder / name)
            self._waiting.append(name)
            while len(self._waiting) > self.limit:
                self._remove(self._waiting[0])
                DROPPED.labels(self.folder.name, "outbox full").inc()
            self._count()

    def first(self) -> tuple[str, bytes] | None:
        """The oldest message and its name; None where there is none."""
        with self._lock:
            while self._waiting:
                try:
                    return self._waiting[0], (self.folder / self._waiting[0]).read_bytes()
                except FileNotFoundError:  # somebody has tidied up
                    self._waiting.pop(0)
            return None

    def done(self, name: str) -> None:
        """It was taken, or is given up."""
        with self._lock:
            if name in self._waiting:
                self._remove(name)
            self._count()

    def _remove(self, name: str) -> None:
        self._waiting.remove(name)
        (self.folder / name).unlink(missing_ok=True)

    def _count(self) -> None:
        WAITING.labels(self.folder.name).set(len(self._waiting))

    def __len__(self) -> int:
        return len(self._waiting)
