"""Experiments side by side on one service: those that would split the same traffic are never mixed. Pure.

Two experiments overlap when they are on the same service and environment, unless both declare a `layer` and the layers differ:
then each splits all traffic on its own, by its own salt, and the effects average out. An experiment whose rollout is over, or
that only watches (`mode: shadow`), stands in nobody's way.
"""

from __future__ import annotations

from collections.abc import Iterable

from deploy.rollout_state import Rollout
from deploy.transitions import State
from schemas.spec import ExperimentSpec

OVER = frozenset({State.PENDING, State.QUEUED, State.PROMOTED, State.ROLLED_BACK, State.ABORTED})
"""States in which a rollout splits no traffic."""


def overlaps(one: ExperimentSpec, other: ExperimentSpec) -> bool:
    """Whether two experiments would split the same traffic."""
    if one.id == other.id or (one.service, one.environment) != (other.service, other.environment):
        return False
    if "shadow" in (one.mode, other.mode):
        return False
    return one.layer is None or other.layer is None or one.layer == other.layer


def in_the_way(spec: ExperimentSpec, rollouts: Iterable[Rollout]) -> Rollout | None:
    """A rollout that is at work on the traffic that this experiment wants; None where it may begin."""
    return next((held for held in rollouts if held.state not in OVER and overlaps(spec, held.spec)), None)


def next_in_line(rollouts: Iterable[Rollout]) -> Rollout | None:
    """Of the experiments that wait, the one that was applied first among those that may begin now."""
    everyone = list(rollouts)
    free = [held for held in everyone if held.state is State.QUEUED and in_the_way(held.spec, everyone) is None]
    return min(free, key=lambda held: (held.queued_at, held.spec.id), default=None)
