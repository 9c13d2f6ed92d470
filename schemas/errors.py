"""What Davy tells people when something is wrong: one plain sentence, and the exit code that goes with it."""

from __future__ import annotations

from typing import ClassVar


class DavyError(Exception):
    """Base of all errors that are meant for people; `str()` is the sentence."""

    exit_code: ClassVar[int] = 1

    @property
    def sentence(self) -> str:
        """What is wrong and what to do about it."""
        return str(self)


class UserError(DavyError):
    """The input is wrong: a spec, a file, an argument."""

    exit_code: ClassVar[int] = 2


class UnknownId(DavyError):
    """No experiment or verdict has that id."""

    exit_code: ClassVar[int] = 3


class InfrastructureError(DavyError):
    """Something that Davy needs is not there: a broker, a store, a port."""

    exit_code: ClassVar[int] = 4
