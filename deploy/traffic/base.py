"""What a place where traffic is split (or somebody who must know of it) can do, whichever it is.

A target is told the same order as often as needed: `apply` changes only what is not yet as ordered, so that a repetition after
a crash has no effect of its own; `fault` looks at the real thing. Both may be called from a thread. What goes wrong is raised
as `TargetError`, one clause.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from schemas.config import Config
from schemas.model import Model
from schemas.spec import ExperimentSpec

Weights = Mapping[str, float]


class TargetError(Exception):
    """The target does not do as told; `str()` is a clause that says where and why."""


class TargetAway(TargetError):
    """Nobody is there to be told, or nothing can be written just now: the same order may do later."""


@dataclass(frozen=True, slots=True)
class Order:
    """Traffic of an experiment is to be split by `weights` (share per variant), so far it was by `before`. `order_id` is the
    same whenever it is told. `protects`: it takes traffic from candidates that may do harm, so it is never undone."""

    order_id: str
    spec: ExperimentSpec
    weights: Weights
    before: Weights
    kind: str = "shift"
    reason: str = ""
    step: int = 0
    attempt: int = 1
    protects: bool = False


class Target(Protocol):
    """A configured target."""

    name: str
    """For people: the kind, and which one."""
    blind: bool
    """Whether it cannot be looked at: what was applied once is believed, and `fault` finds none."""

    def apply(self, order: Order) -> None:
        """Do it. Raises `TargetError`."""
        ...

    def fault(self, order: Order) -> str | None:
        """Why the real thing is not as ordered, as a clause; None when it is. Raises `TargetError` where it is silent."""
        ...


@dataclass(frozen=True, slots=True)
class Adapter:
    """A kind of target: its name in `traffic:` of davy.yaml, its options, and how one is made. With `options` None it takes
    none."""

    name: str
    options: type[Model]
    make: Callable[[Any, Config], Target]
