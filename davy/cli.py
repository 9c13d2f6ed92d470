"""The command line: `davy NAME` is a file of `davy/commands`, imported when it is called, so that help is instant.

A file is a command where its docstring says so in a line: "`davy NAME`: what it does." It exports `command`, a function of
Typer's; its own docstring has what else the help says, an example, and the exit codes.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module, resources
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from davy.pipes import guarded
from schemas import __version__
from schemas.errors import DavyError, InfrastructureError

DEBUG = "--debug"
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Begin": ("demo", "init", "import", "lint", "plan", "apply"),
    "Watch and steer": ("status", "explain", "ledger", "approve", "pause", "resume", "promote", "abort", "rollback"),
    "Look back": ("history", "report", "query", "export", "replay"),
    "Connect": ("subscribe", "split", "shift", "schema", "simulate", "detect"),
    "Operate": ("run", "doctor", "support", "token", "repair", "recount", "bench"),
}
"""How `davy --help` groups commands; what is in none of these comes last."""
OTHERS = "More"
_LINE = re.compile(r"^`davy ([a-z-]+)`: (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command is, and what it does."""

    module: str
    line: str


@cache
def entries() -> Mapping[str, Entry]:
    """All commands by name, from the first lines of their files; nothing is imported."""
    found: dict[str, Entry] = {}
    files = (file for file in resources.files("davy.commands").iterdir() if file.name.endswith(".py"))
    for file in sorted(files, key=lambda file: file.name):
        docstring = file.read_text("utf-8").partition('"""')[2].partition('"""')[0]
        for name, line in _LINE.findall(docstring):
            found[name] = Entry(file.name.removesuffix(".py"), line[0].upper() + line[1:])
    return found


def loaded(name: str) -> TyperCommand:
    """The command itself."""
    entry = entries()[name]
    module: Any = import_module(f"davy.commands.{entry.module}")
    more = inspect.cleandoc(module.command.__doc__).replace("{name}", name)
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    alone.command(name, help=f"{entry.line}\n\n{more}")(module.command)
    made = typer.main.get_command(alone)
    assert isinstance(made, TyperCommand)
    return made


class Commands(TyperGroup):
    """Lists commands without importing them."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, entry in entries().items():
            self.add_command(TyperCommand(name, help=entry.line))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, found, rest = super().resolve_command(ctx, args)
        return name, loaded(name) if name is not None else found, rest

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        grouped = {name for names in SECTIONS.values() for name in names}
        others = {OTHERS: tuple(name for name in self.commands if name not in grouped)}
        width = max(map(len, self.commands))
        for title, names in {**SECTIONS, **others}.items():
            room = formatter.width - 6 - width
            rows = [(f"{name:<{width}}", self.commands[name].get_short_help_str(room)) for name in names]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


app = typer.Typer(
    name="davy",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Judge canary releases from live request events.",
    epilog="COMMAND --help has an example and the exit codes; --debug shows a traceback where there would be a sentence.",
)


def main() -> None:
    """Run the command line; errors become one sentence on stderr and an exit code."""
    debug = DEBUG in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != DEBUG]
    sys.stdout, sys.stderr = guarded(sys.stdout), guarded(sys.stderr)
    try:
        app(args=arguments, prog_name="davy", standalone_mode=True)
    except DavyError as error:
        if debug:
            raise
        # findings begin with their place
        print(error if hasattr(error, "findings") else f"davy: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if debug:
            raise
        print(
            f"davy: something unexpected happened ({type(error).__name__}: {error}); "
            "run the command again with --debug and report what it shows",
            file=sys.stderr,
        )
        sys.exit(InfrastructureError.exit_code)
    finally:
        sys.stdout.flush()


def _version(show: bool) -> None:
    if show:
        print(f"davy {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it and exit.")
    ] = False,
) -> None:
    """Options of `davy` itself."""
