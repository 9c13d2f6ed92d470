"""What is told to other systems once it is done, and who tells it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from schemas.decision import Decision
from schemas.model import Model
from schemas.spec import ExperimentSpec

What = Literal["deployed", "upgraded", "rolledback"]
WHATS: dict[str, What] = {
    "apply": "deployed", "promote": "upgraded", "force promote": "upgraded", "rollback": "rolledback",
    "force rollback": "rolledback", "abort": "rolledback",
}  # fmt: skip
"""Decisions that are told once they are DONE: a candidate has its first traffic, has all of it, or has none any more."""


class NotTold(Exception):
    """The other side did not take it; `str()` is a clause. It is told again."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that was done to a candidate. `version` is that of the candidate, `serving` the one that serves now."""

    what: What
    decision: Decision
    spec: ExperimentSpec
    variant: str
    version: str
    serving: str


class Notifier(Protocol):
    """Tells one system. The same notice may come again: its decision's id is the same."""

    name: str

    def tell(self, notice: Notice) -> None:
        """Raises `NotTold`."""
        ...


@dataclass(frozen=True, slots=True)
class Adapter:
    """A kind of notifier: its name in `notify:` of davy.yaml, its options, and how one is made."""

    name: str
    options: type[Model]
    make: Callable[[Any], Notifier]


def tells(decision: Decision) -> bool:
    """Whether a decision of the ledger is one that is told."""
    return decision.kind in WHATS and decision.outcome == "DONE" and bool(decision.weights)


def notices(decision: Decision, spec: ExperimentSpec) -> list[Notice]:
    """What such a decision has to tell: one notice for each candidate that it is about."""
    what = WHATS[decision.kind]
    about = [decision.variant] if decision.variant in spec.candidates else list(spec.candidates)
    if what == "upgraded":
        about = [name for name in spec.candidates if decision.weights.get(name, 0.0) >= 1.0]
    most = max(decision.weights, key=lambda name: decision.weights[name])
    return [
        Notice(what, decision, spec, name, spec.variants[name].version, spec.variants[most].version)
        for name in about
    ]  # fmt: skip
