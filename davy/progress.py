"""How far something long has come, and how long it will take: on stderr, and only where that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

Advance = Callable[[float], None]
"""Called with how much of the total is done by now."""


def unseen(done: float) -> None:
    """Where nobody looks."""


@contextmanager
def progress(what: str, total: float) -> Generator[Advance]:
    """A bar until the context ends. What is printed meanwhile stays readable above it."""
    if not sys.stderr.isatty() or total <= 0:
        yield unseen
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(compact=True))
    together = sys.stdout.isatty()
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=together) as shown:
        task = shown.add_task(what, total=total)
        yield lambda done: shown.update(task, completed=min(done, total))
