"""What is known of a rollout, what can happen to it, and what must then be done: plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from deploy.fence import UNKNOWN_OFFSET, Fence
from deploy.ledger import Chain
from deploy.splitter import BUCKETING
from deploy.transitions import SHIFTS, Kind, State
from schemas.control import Control
from schemas.decision import Decision
from schemas.spec import ExperimentSpec
from schemas.verdict import Verdict

ACTOR = "davy rollout"
KNOWN_MAX = 1_000
"""Causes of refusals that are remembered, so that a repetition is not told again."""
NEW_FENCE, NEW_CHAIN = Fence(), Chain()


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; `cause` is the id of the verdict, command, spec or shift behind it."""

    kind: Kind
    cause: str
    reason: str
    actor: str = ACTOR
    verdict: Verdict | None = None
    variant: str | None = None
    spec: ExperimentSpec | None = None
    target: str | None = None
    """Whose circuit it is."""
    trace: str = ""
    """What a shift did at every target."""
    away: bool = False
    """Whether a shift failed because somebody was not there to be told."""


@dataclass(frozen=True, slots=True)
class Shift:
    """Traffic to be moved, once it is planned; `intent_id` is the id of the decision."""

    intent_id: str
    step: int
    weights: Mapping[str, float]
    plan: Decision


@dataclass(frozen=True, slots=True)
class Record:
    """Write to the ledger."""

    decision: Decision


@dataclass(frozen=True, slots=True)
class Tell:
    """Write to the control topic."""

    control: Control


Action = Record | Tell | Shift


@dataclass(frozen=True, slots=True)
class Rollout:
    """Everything known of one experiment. `out` are candidates that were rolled back; `ready` those whose ADVANCE of this
    step was seen; `held` is the last reason to hold."""

    spec: ExperimentSpec
    state: State = State.PENDING
    step: int = 0
    weights: Mapping[str, float] = field(default_factory=dict[str, float])
    shift: Shift | None = None
    out: frozenset[str] = frozenset()
    ready: frozenset[str] = frozenset()
    fence: Fence = NEW_FENCE
    held: str | None = None
    chain: Chain = NEW_CHAIN
    control_offset: int = -1
    """Of the last control record that was taken."""
    approved: bool = False
    """Whether a person approved of the next shift, where the spec asks for that."""
    healthy: Mapping[str, int] = field(default_factory=dict[str, int])
    """By candidate: event time since which every verdict was HEALTHY and none was to HOLD."""
    promoted_us: int | None = None
    split_us: int | None = None
    """When traffic was last split by it."""
    queued_at: int = -1
    """Offset of the control record by which it was put in line."""
    bucketing: str = BUCKETING
    """How units came to their buckets when it began."""
    known: tuple[str, ...] = ()
    """Causes that were refused, the latest `KNOWN_MAX`: they are told once."""
    circuits: Mapping[str, str] = field(default_factory=dict[str, str])
    """Dependencies whose circuit is not closed, and what was said of it."""


def recalled(rollout: Rollout, decision: Decision) -> Rollout:
    """The rollout after a decision of its ledger: how a restarted role finds out where it was."""
    details, fence = decision.details, rollout.fence
    sequence = max(fence.sequence, int(details.get("sequence", "0")))
    offset = max(fence.offset, int(details.get("verdict_offset", UNKNOWN_OFFSET)))
    taken_epoch = max(fence.taken_epoch, int(details.get("taken_epoch", decision.epoch)))
    taken = replace(
        rollout, fence=Fence(max(fence.epoch, decision.epoch), sequence, taken_epoch, offset),
        chain=rollout.chain.after(decision), known=known_after(rollout, decision),
        control_offset=max(rollout.control_offset, int(details.get("control_offset", "-1"))),
    )  # fmt: skip
    target = details.get("target")
    if target is not None:
        taken = replace(taken, circuits=circuits(taken, target, decision.kind != Kind.CIRCUIT_CLOSED, decision.reason))
    if decision.outcome == "REFUSED":
        return taken
    state = State(decision.state_after)
    if decision.kind == Kind.QUEUE:
        taken = replace(taken, queued_at=taken.control_offset)
    taken = replace(
        taken, bucketing=details.get("bucketing", BUCKETING), approved=details.get("approved") == "yes",
        promoted_us=decision.time if state is State.PROMOTED and decision.outcome == "DONE" else taken.promoted_us,
        split_us=decision.time if rollout.shift is not None and decision.outcome == "DONE" else taken.split_us,
    )  # fmt: skip
    out = frozenset(filter(None, details.get("out", "").split(",")))
    if decision.outcome == "PLANNED":
        shift = Shift(decision.decision_id, decision.step or 0, decision.weights, decision)
        return replace(taken, state=state, shift=shift, out=out, ready=frozenset(), held=None)
    shift = rollout.shift if state in SHIFTS else None
    return replace(taken, state=state, step=decision.step or 0, weights=decision.weights, shift=shift, out=out)


def known_after(rollout: Rollout, decision: Decision) -> tuple[str, ...]:
    """The causes that are told once, when this record is written or recalled."""
    cause = decision.details.get("cause")
    return rollout.known if cause is None else (*rollout.known, cause)[-KNOWN_MAX:]


def circuits(rollout: Rollout, target: str, is_open: bool, reason: str) -> dict[str, str]:
    """What is open once a target's circuit has opened or closed."""
    others = {name: told for name, told in rollout.circuits.items() if name != target}
    return others | ({target: reason} if is_open else {})
