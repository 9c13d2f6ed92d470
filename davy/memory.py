"""What a role no longer uses goes back to the system: glibc keeps what was freed between what is in use.

After a quarter of an hour a judge's and a sink's memory in use stays as it is (docs/reliability.md), and RSS grew by steps
of some 2 MiB, each time when more came at once than ever before.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

EVERY_S = 60.0


@contextmanager
def given_back(every_s: float = EVERY_S) -> Generator[None]:
    """While the context is open. Does nothing where the C library cannot."""
    trim, over = _trim(), threading.Event()
    if trim is None:
        yield
        return

    def again() -> None:
        while not over.wait(every_s):
            trim(0)

    thread = threading.Thread(target=again, name="memory", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except AttributeError:
        return None
