"""What a check is, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from schemas.config import Config


class Level(StrEnum):
    """Only a PROBLEM makes the doctor's exit code 4."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """`what` was found, and its `remedy`: what to do about it, empty where there is nothing to do."""

    level: Level
    what: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """`look` says at least one thing; it may raise `DavyError`, whose sentence ends in the remedy."""

    name: str
    look: Callable[[Config], Iterable[Finding]]
    needs: tuple[str, ...] = ()


def ok(what: str) -> Finding:
    """All is well."""
    return Finding(Level.OK, what)


def warning(what: str, remedy: str) -> Finding:
    """It works, but not as it should, or not for long."""
    return Finding(Level.WARNING, what, remedy)


def problem(what: str, remedy: str) -> Finding:
    """It does not work, or what comes out is wrong."""
    return Finding(Level.PROBLEM, what, remedy)


def seconds(value: float) -> str:
    """A length of time for people.

    >>> seconds(2.04), seconds(300), seconds(90_000)
    ('2.0 s', '5 min', '25 h')
    """
    if value < 120:
        return f"{value:.1f} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.0f} h"
