"""Documents of figures: what a command measured stands between its own markers."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

from tests.support.kafka import VERSION

DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks.md"
END = "<!-- end -->"


def replaced(text: str, begin: str, content: str) -> str:
    """The text with `content` between the marker `begin` and the next end; raises ValueError where they are missing."""
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(END)
    if not found or not closed:
        raise ValueError(f"the document has no place for this: add {begin} and {END}")
    return f"{before}{begin}\n\n{content}\n\n{END}{after}"


def rewrite(begin: str, content: str, document: Path = DOCUMENT) -> None:
    """Write it into the document."""
    document.write_text(replaced(document.read_text("utf-8"), begin, content), "utf-8")


def heading(first: str, columns: Sequence[str]) -> list[str]:
    """The first two lines of a table: what its rows are, then columns of figures."""
    return [f"| {first} | " + " | ".join(columns) + " |", "| :--- |" + " ---: |" * len(columns)]


def machine() -> str:
    """What the figures were measured on, and how busy that is now: ask before measuring."""
    return (
        f"Kafka {VERSION}, Python {platform.python_version()}, {os.cpu_count()} cores shared with the broker, load "
        f"{os.getloadavg()[0]:.1f} before it began"
    )
