"""What a peer is. The standard library alone: peers import this in virtual environments of their own."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Protocol, Self

HOME = Path(__file__).parent
CACHE = Path(os.environ.get("DAVY_BENCH_CACHE", Path.home() / ".cache" / "davy-bench"))
"""Where peers keep their virtual environments and jars."""

Framing = Literal["single-object", "raw"]
"""Avro single-object encoding (``C3 01``, fingerprint, body), or the body alone."""
Key = tuple[str | None, ...]
"""`window.KEY` of an event, and the window's start in UTC microseconds."""


@dataclass(slots=True)
class Window:
    """What is counted of one key in one window; `bins` are counts by bin of the duration's histogram."""

    rows: int = 0
    errors: int = 0
    total: int = 0
    bins: Mapping[int, int] | None = None


Windows = dict[tuple[Key, int], Window]


@dataclass(frozen=True, slots=True)
class Task:
    """One reading of a topic: `run` is a name that nothing else on the broker has."""

    bootstrap: str
    topic: str
    partitions: int
    events: int
    run: str
    folder: str

    @property
    def output(self) -> str:
        """A topic for results, there and empty."""
        return f"{self.run}-windows"

    @property
    def json(self) -> str:
        return json.dumps(asdict(self))

    def mark(self, what: Literal["started", "done"]) -> None:
        """Tell the clock, and the CPU time of this process, when work on events begins (connecting to Kafka at the earliest,
        the first event at the latest), and when all was read and is kept safely."""
        (Path(self.folder) / what).write_text(f"{time.time()} {time.process_time()}", "ascii")

    @classmethod
    def argument(cls) -> Self:
        """The task of this process."""
        return cls(**json.loads(sys.argv[1]))


class Peer(Protocol):
    """One file in this folder that exports `PEER`."""

    title: str
    events: int
    """How many it reads unless told otherwise: slow ones read fewer."""
    framing: Framing
    does: str
    """What it computes and how, for the table's readers."""

    def prepare(self) -> str:
        """Install what it needs; the versions of it."""
        ...

    def command(self, task: Task) -> list[str]:
        """What runs in a process of its own, in `task.folder`, marks there when it `started` and was `done`, and ends."""
        ...

    def windows(self, task: Task) -> Windows | int:
        """What it counted, read back from Kafka; how many it read where it counts nothing."""
        ...


def peers() -> dict[str, Peer]:
    """All of them by name, the bare consumer first, then Davy."""
    found: dict[str, Peer] = {}
    for info in pkgutil.iter_modules([str(HOME)]):
        peer = getattr(importlib.import_module(f"bench.peers.{info.name}"), "PEER", None)
        if peer is not None:
            found[info.name.strip("_")] = peer
    first = ("bare", "davy")
    return {name: found[name] for name in sorted(found, key=lambda name: (name not in first, name))}
