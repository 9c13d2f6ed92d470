"""When whoever reads our output has seen enough (`davy explain ID | head`): quiet, and the end that SIGPIPE gives other tools.

Libraries each have their own idea of a closed pipe; here the write itself ends the command, before they see it. Not the
signal itself: it would also end a role whose broker closes a socket. Not 0: of `davy replay`, that means promoted.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any, TextIO

EXIT_CODE = 141
"""128 + SIGPIPE, as shells say it."""


class Pipe(io.FileIO):
    """A file descriptor that belongs to somebody else; nothing more is written once nobody reads."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)

    def write(self, data: Any, /) -> int:
        """Raises `SystemExit` where nobody reads any more."""
        try:
            return super().write(data)
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            sys.exit(EXIT_CODE)


def guarded(stream: TextIO) -> TextIO:
    """The same stream of text, over a `Pipe`; as it is where it goes to no file descriptor or to a terminal."""
    text: Any = stream
    if not isinstance(stream, io.TextIOWrapper) or text.isatty():
        return text
    try:
        descriptor = text.fileno()
    except OSError:
        return text
    text.flush()
    binary: Any = Pipe(descriptor) if text.write_through else io.BufferedWriter(Pipe(descriptor))
    return io.TextIOWrapper(
        binary, text.encoding, text.errors, line_buffering=text.line_buffering, write_through=text.write_through
    )
