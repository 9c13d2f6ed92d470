"""`python -m davy.reference docs/commands.md`: what every command says of itself, as it is shown on 80 columns."""

from __future__ import annotations

import sys
from pathlib import Path

from typer.testing import CliRunner

from davy.cli import SECTIONS, app, entries

COLUMNS = 80


def helped(*arguments: str) -> str:
    """The help of `davy ARGUMENTS`."""
    shown = CliRunner().invoke(app, [*arguments, "--help"], prog_name="davy", terminal_width=COLUMNS)
    assert shown.exit_code == 0, shown.exception
    return "\n".join(line.rstrip() for line in shown.output.splitlines())


def document() -> str:
    """All of them, in the order of `davy --help`."""
    grouped = [name for names in SECTIONS.values() for name in names]
    names = [*grouped, *(name for name in entries() if name not in grouped)]
    parts = [
        "# Commands\n\nWritten by `python -m davy.reference docs/commands.md`; a test says when it is out of date.",
        f"```text\n{helped()}\n```",
        *(f"## davy {name}\n\n```text\n{helped(name)}\n```" for name in names),
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(document())
