"""docs/benchmarks.md: what a command measured stands between its own markers."""

from __future__ import annotations

from pathlib import Path

DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks.md"
END = "<!-- end -->"


def replaced(text: str, begin: str, content: str) -> str:
    """The text with `content` between the marker `begin` and the next end; raises ValueError where they are missing."""
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(END)
    if not found or not closed:
        raise ValueError(f"the document has no place for this: add {begin} and {END}")
    return f"{before}{begin}\n\n{content}\n\n{END}{after}"


def replace(begin: str, content: str) -> None:
    """Write it into the document."""
    DOCUMENT.write_text(replaced(DOCUMENT.read_text("utf-8"), begin, content), "utf-8")
