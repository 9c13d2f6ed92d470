"""A child process that kills itself at a point: what it leaves behind is what a crash at that point leaves behind."""

from __future__ import annotations

import gc
import os
import signal
import traceback
from collections.abc import Callable
from typing import Any

KILLED = -signal.SIGKILL


class Points:
    """Counts points, two for each call of a function that has an effect: before and after."""

    def __init__(self, kill_at: int) -> None:
        self.kill_at = kill_at
        self.passed = 0

    def point(self) -> None:
        """One point; at the `kill_at`-th the process ends at once."""
        self.passed += 1
        if self.passed == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: Any, name: str, counts: Callable[..., bool] = lambda *_: True) -> None:
        """Put a point before and after each call of `owner.name` that counts."""
        function = getattr(owner, name)

        def wrapped(*arguments: Any, **named: Any) -> Any:
            if not counts(*arguments):
                return function(*arguments, **named)
            self.point()
            result = function(*arguments, **named)
            self.point()
            return result

        setattr(owner, name, wrapped)


def in_child(body: Callable[[], None]) -> int:
    """Run it in a forked process; the exit code (0, or -9 where it was killed). What it raises is printed, and is a 1."""
    child = os.fork()
    if child == 0:
        gc.freeze()  # the parent's Kafka clients have no threads here: whoever destroys one aborts
        try:
            body()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)
