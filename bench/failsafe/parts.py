"""Real parts as processes that may be killed, frozen, slowed, and left without disk; whoever ends is started again.

A keeper starts again what ended, as systemd or Kubernetes would, unless it is held down. Files that may not grow
(RLIMIT_FSIZE) are a full disk to a process; a link whose relay stands still is a full network queue.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from streams.embedded import die_with_parent

AGAIN_S = 1.0
"""A part that ended is started again after that."""
DUTY_S, DUTY = 0.5, 0.8
"""A slowed process stands still for this share of each period."""
NOTHING = 1
"""Bytes that files may have on a full disk: none of them grows."""


class Part:
    """One process; `command` runs in the foreground."""

    def __init__(self, name: str, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name, self.command, self.log, self.env = name, list(command), log, dict(env or {})
        self.held, self.full = False, False
        self.starts = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._slowing: threading.Event | None = None
        self._slower: threading.Thread | None = None

    @property
    def pid(self) -> int | None:
        """None while it does not run."""
        return None if self._process is None or self._process.poll() is not None else self._process.pid

    def start(self) -> None:
        """Now; on a disk that is full it begins with no room."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command, stdout=log, stderr=log, preexec_fn=die_with_parent, env=os.environ | self.env,  # noqa: PLW1509
                restore_signals=False,  # a file that may not grow is an error of its writer, not its end
            )  # fmt: skip
        self.starts += 1
        if self.full:
            self._room(NOTHING)

    def keep(self) -> None:
        """Start it again where it ended and is not held down."""
        if not self.held and self.pid is None:
            self.start()

    def stop(self) -> None:
        """For good."""
        self.held = True
        self._end()

    # -- faults and what heals them ------------------------------------------------------------------------------------

    def kill(self) -> None:
        """As kill -9 does; it stays down until healed."""
        self.held = True
        self._end()

    def freeze(self) -> None:
        """It stands still, its connections open."""
        self._send(signal.SIGSTOP)

    def slow(self) -> None:
        """It has the processor for a fifth of the time only."""
        self._slowing = threading.Event()
        self._slower = threading.Thread(target=self._on_and_off, args=(self._slowing,), daemon=True)
        self._slower.start()

    def fill(self) -> None:
        """None of its files grows any more, whoever starts it again."""
        self.full = True
        self._room(NOTHING)

    def heal(self) -> None:
        """All of it is over."""
        if self._slowing is not None and self._slower is not None:
            self._slowing.set()
            self._slower.join()
            self._slowing = None
        self._send(signal.SIGCONT)
        self.full, self.held = False, False
        self._room(resource.RLIM_INFINITY)

    def _on_and_off(self, over: threading.Event) -> None:
        while not over.is_set():
            self._send(signal.SIGSTOP)
            over.wait(DUTY_S * DUTY)
            self._send(signal.SIGCONT)
            over.wait(DUTY_S * (1 - DUTY))

    def _room(self, size: int) -> None:
        pid = self.pid
        if pid is not None:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self.pid is not None:
            self._process.send_signal(number)

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Keeper(threading.Thread):
    """Starts again whoever ends."""

    def __init__(self, parts: Sequence[Part]) -> None:
        super().__init__(daemon=True)
        self.parts = list(parts)
        self._over = threading.Event()

    def run(self) -> None:
        """Until `end`."""
        ended: dict[str, float] = {}
        while not self._over.wait(0.1):
            for part in self.parts:
                if part.pid is not None or part.held:
                    ended.pop(part.name, None)
                elif time.monotonic() - ended.setdefault(part.name, time.monotonic()) >= AGAIN_S:
                    part.keep()

    def end(self) -> None:
        """Nobody is started any more."""
        self._over.set()
        self.join()
