"""The wall clock of processes as a file says it: ahead, behind, standing still, slow; `clock.c` says how.

libfaketime does not know `cnd_timedwait`, with which librdkafka waits: an hour ahead would be an hour's sleep.
"""

from __future__ import annotations

import struct
import subprocess
import time
from pathlib import Path

from tests.support.system import program

SOURCE = Path(__file__).with_name("clock.c")
S = 1_000_000_000


class WrongClock:
    """In a folder of its own; right until it is set."""

    def __init__(self, folder: Path) -> None:
        self._file, self._library = folder / "clock", folder / "clock.so"
        self.right()

    def environment(self) -> dict[str, str]:
        """For a process that shall go by it. Compiles the library."""
        command = [program("cc", "gcc"), "-O2", "-shared", "-fPIC", "-o", str(self._library), str(SOURCE), "-ldl"]
        subprocess.run(command, check=True)
        return {"LD_PRELOAD": str(self._library), "DAVY_CLOCK": str(self._file)}

    def right(self) -> None:
        """As all other clocks."""
        self._set(0, 0, 1.0)

    def off(self, seconds: int) -> None:
        """Ahead, or behind where negative."""
        self._set(0, seconds * S, 1.0)

    def at_rate(self, rate: float) -> None:
        """From now on so much faster; 0: it stands still."""
        now = time.time_ns()
        self._set(now, now, rate)

    def _set(self, since: int, told: int, rate: float) -> None:
        with self._file.open("r+b" if self._file.exists() else "wb") as file:  # the processes have it in their memory
            file.write(struct.pack("qqd", since, told, rate))
