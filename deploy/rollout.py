"""The rollout of one experiment as a pure state machine: verdicts and commands in, decisions and shifts out.

Every action is in the ledger before it is carried out (PLANNED) and after (DONE or FAILED). A shift is announced on the
control topic (`WeightIntent`), made, read back, and told (`WeightApplied`). Ids are derived from the cause, so doing a
thing again after a crash does and says the same. The transitions are one table; what is not in it is refused.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from deploy.splitter import step_weights
from schemas import __version__
from schemas.control import Body, Command, Control, WeightApplied, WeightIntent
from schemas.decision import Decision, Outcome
from schemas.spec import ExperimentSpec
from schemas.verdict import Verdict

NAMESPACE = uuid.UUID("0b9f2f7e-2f0c-5c55-8f6e-3d0c8f4a1d21")
ACTOR = "davy rollout"
FIRST_EPOCH = 1


class State(StrEnum):
    """Where a rollout is."""

    PENDING = "pending"
    SHIFTING = "shifting"
    BAKING = "baking"
    PAUSED = "paused"
    PROMOTING = "promoting"
    PROMOTED = "promoted"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    ABORTING = "aborting"
    ABORTED = "aborted"


class Kind(StrEnum):
    """What can happen to it. Verdicts that ask for nothing (CONTINUE) do not happen."""

    APPLY = "apply"
    ADVANCE = "advance"
    HOLD = "hold"
    PROMOTE = "promote"
    ROLLBACK = "rollback"
    PAUSE = "pause"
    RESUME = "resume"
    APPROVE = "approve"
    FORCE_PROMOTE = "force promote"
    FORCE_ROLLBACK = "force rollback"
    ABORT = "abort"
    SHIFTED = "shifted"
    SHIFT_FAILED = "shift failed"
    NEW_JUDGE = "new judge"


S, K = State, Kind
SHIFTS: Mapping[State, State] = {
    S.SHIFTING: S.BAKING, S.PROMOTING: S.PROMOTED, S.ROLLING_BACK: S.ROLLED_BACK, S.ABORTING: S.ABORTED,
}  # fmt: skip
"""States in which traffic is being shifted, and what follows once it was."""
TRANSITIONS: Mapping[tuple[State, Kind], State] = {
    (S.PENDING, K.APPLY): S.SHIFTING,
    (S.BAKING, K.ADVANCE): S.SHIFTING,
    (S.BAKING, K.HOLD): S.BAKING,
    (S.BAKING, K.PROMOTE): S.PROMOTING,
    (S.BAKING, K.PAUSE): S.PAUSED,
    (S.BAKING, K.RESUME): S.BAKING,
    (S.BAKING, K.APPROVE): S.BAKING,
    (S.PAUSED, K.RESUME): S.BAKING,
    (S.PAUSED, K.APPROVE): S.PAUSED,
    (S.PAUSED, K.HOLD): S.PAUSED,
    **{(state, K.ROLLBACK): S.ROLLING_BACK for state in (S.BAKING, S.PAUSED)},
    **{(state, K.FORCE_PROMOTE): S.PROMOTING for state in (S.BAKING, S.PAUSED)},
    **{(state, K.FORCE_ROLLBACK): S.ROLLING_BACK for state in (S.BAKING, S.PAUSED, S.PROMOTED)},
    **{(state, K.ABORT): S.ABORTING for state in (S.BAKING, S.PAUSED)},
    **{(state, K.APPLY): S.SHIFTING for state in (S.BAKING, S.PAUSED, S.PROMOTED, S.ROLLED_BACK, S.ABORTED)},
    **{(state, K.SHIFTED): after for state, after in SHIFTS.items()},
    **{(state, K.SHIFT_FAILED): S.PAUSED for state in SHIFTS},
    **{(state, K.NEW_JUDGE): state for state in (S.BAKING, S.PAUSED, *SHIFTS)},
}
COMMANDS: Mapping[str, Kind] = {
    "pause": K.PAUSE, "resume": K.RESUME, "approve": K.APPROVE, "promote": K.FORCE_PROMOTE,
    "rollback": K.FORCE_ROLLBACK, "abort": K.ABORT,
}  # fmt: skip


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
    step was seen; `epoch` and `sequence` are those of the last verdict that was taken; `held` the last reason to hold."""

    spec: ExperimentSpec
    state: State = State.PENDING
    step: int = 0
    weights: Mapping[str, float] = field(default_factory=dict[str, float])
    shift: Shift | None = None
    out: frozenset[str] = frozenset()
    ready: frozenset[str] = frozenset()
    epoch: int = 0
    sequence: int = 0
    held: str | None = None
    decisions: int = 0
    control_offset: int = -1
    """Of the last control record that was taken."""
    known: frozenset[str] = frozenset()
    """Causes that were refused: they are told once."""


def step(rollout: Rollout, event: Event, now_us: int) -> tuple[Rollout, list[Action]]:
    """What an event changes, and what must be done about it, in order."""
    after = TRANSITIONS.get((rollout.state, event.kind))
    if event.kind is K.APPLY and event.spec is not None:
        if rollout.state is not S.PENDING and event.spec.digest == rollout.spec.digest:
            return rollout, []
        if after is not None:
            fresh = Rollout(
                event.spec, decisions=rollout.decisions, epoch=rollout.epoch, sequence=rollout.sequence,
                control_offset=rollout.control_offset,
            )  # fmt: skip
            if event.spec.mode == "shadow":
                return _noted(replace(fresh, state=S.BAKING), event, now_us, S.PENDING)
            return _plan(fresh, event, S.SHIFTING, 0, now_us)
    if after is None:
        return _refused(rollout, event, f"{event.kind} does not apply while {rollout.state}", now_us)
    match event.kind:
        case K.SHIFTED:
            return _shifted(rollout, after, now_us)
        case K.SHIFT_FAILED:
            return _shift_failed(rollout, event, now_us)
        case K.ADVANCE:
            return _advance(rollout, event, now_us)
        case K.HOLD:
            return _hold(rollout, event, now_us)
        case K.PROMOTE | K.ROLLBACK | K.FORCE_PROMOTE | K.FORCE_ROLLBACK | K.ABORT:
            return _plan(rollout, event, after, rollout.step, now_us)
        case _:
            return _noted(replace(rollout, state=after, held=None), event, now_us, rollout.state)


def take_verdict(rollout: Rollout, verdict: Verdict, now_us: int) -> tuple[Rollout, list[Action]]:
    """A verdict from the topic: refused when it is of an older epoch, ignored when it was taken before or asks nothing."""
    kinds = {"ADVANCE": K.ADVANCE, "HOLD": K.HOLD, "PROMOTE": K.PROMOTE, "ROLLBACK": K.ROLLBACK}
    kind = kinds.get(verdict.action, K.HOLD)
    event = Event(kind, verdict.verdict_id, verdict.reason, verdict=verdict, variant=verdict.variant)
    if verdict.epoch < rollout.epoch:
        return _refused(rollout, event, f"its epoch {verdict.epoch} is below {rollout.epoch}: an old judge", now_us)
    if verdict.epoch > max(rollout.epoch, FIRST_EPOCH) and (rollout.state, K.NEW_JUDGE) in TRANSITIONS:
        # into the ledger, so that whoever goes on after a crash still refuses what older judges say
        over = f"a judge took over (epoch {verdict.epoch}): what older ones say is refused from now on"
        noted = Event(K.NEW_JUDGE, f"epoch {verdict.epoch}", over)
        rollout, told = step(replace(rollout, epoch=verdict.epoch), noted, now_us)
        after, actions = take_verdict(rollout, verdict, now_us)
        return after, [*told, *actions]
    if verdict.sequence <= rollout.sequence:
        return replace(rollout, epoch=verdict.epoch), []
    rollout = replace(rollout, epoch=verdict.epoch, sequence=verdict.sequence)
    if verdict.phase != "rollout" or verdict.variant in rollout.out or verdict.action == "CONTINUE":
        return replace(rollout, held=None) if verdict.action == "CONTINUE" else rollout, []
    if rollout.spec.mode == "shadow":
        return rollout, []
    if verdict.expires_at < now_us:
        event = replace(event, kind=K.HOLD, reason=f"the verdict to {verdict.action} had expired")
    elif rollout.state in SHIFTS or (verdict.action != "ROLLBACK" and rollout.state not in (S.BAKING, S.PAUSED)):
        return rollout, []
    if rollout.state is S.PAUSED and event.kind in (K.ADVANCE, K.PROMOTE):
        return rollout, []
    return step(rollout, event, now_us)


def take_command(
    rollout: Rollout, command: Command, actor: str, reason: str, now_us: int
) -> tuple[Rollout, list[Action]]:
    """A person's command."""
    kind = COMMANDS.get(command.command)
    event = Event(kind or K.HOLD, command.command_id, reason, actor, variant=command.variant)
    if kind is None:
        return _refused(rollout, event, f"there is no command {command.command!r}", now_us)
    if command.variant is not None and command.variant not in rollout.spec.candidates:
        return _refused(rollout, event, f"there is no candidate {command.variant!r}", now_us)
    return step(rollout, event, now_us)


# -- what follows from an event ----------------------------------------------------------------------------------------


def _advance(rollout: Rollout, event: Event, now_us: int) -> tuple[Rollout, list[Action]]:
    """The next step begins once every candidate that is still in says so."""
    verdict = event.verdict
    if verdict is None or verdict.step != rollout.step or rollout.step + 1 >= len(rollout.spec.steps):
        return rollout, []
    ready = rollout.ready | {verdict.variant}
    if not ready >= frozenset(rollout.spec.candidates) - rollout.out:
        return replace(rollout, ready=ready), []
    return _plan(rollout, event, S.SHIFTING, rollout.step + 1, now_us)


def _hold(rollout: Rollout, event: Event, now_us: int) -> tuple[Rollout, list[Action]]:
    """Told when the conclusion changes, not with every number in the sentence."""
    verdict = event.verdict
    held = f"{event.variant}: {verdict.conclusion}, {verdict.action}" if verdict else event.reason
    if rollout.held == held:
        return rollout, []
    return _noted(replace(rollout, held=held), event, now_us, rollout.state)


def _plan(rollout: Rollout, event: Event, state: State, step_index: int, now_us: int) -> tuple[Rollout, list[Action]]:
    """Plan a shift: into the ledger first, then announced, then made."""
    spec, out = rollout.spec, rollout.out
    leaving = frozenset([event.variant]) if event.variant else frozenset(spec.candidates)
    if state in (S.ROLLING_BACK, S.ABORTING):
        out = out | (leaving if state is S.ROLLING_BACK else frozenset(spec.candidates))
        weights = step_weights(spec, spec.steps[rollout.step].weight, out)
        if state is S.ROLLING_BACK and out < frozenset(spec.candidates):
            state = S.SHIFTING  # the others go on
    elif state is S.PROMOTING:
        winner = event.variant or next(name for name in spec.candidates if name not in out)
        weights = {name: float(name == winner) for name in spec.variants}
    else:
        weights = step_weights(spec, spec.steps[step_index].weight, out)
    before = rollout.state
    planned = replace(rollout, state=state, out=out, ready=frozenset(), held=None)
    decision = _decision(planned, event, "PLANNED", now_us, before, state, weights, step_index)
    shift = Shift(decision.decision_id, step_index, weights, decision)
    planned = replace(planned, shift=shift, decisions=rollout.decisions + 1)
    return planned, [Record(decision), *announce(planned, now_us)]


def announce(rollout: Rollout, now_us: int) -> list[Action]:
    """Announce and make the planned shift; after a crash, once more."""
    shift = rollout.shift
    if shift is None:
        return []
    intent = WeightIntent(shift.intent_id, shift.step, shift.weights, shift.plan.verdict_id)
    return [Tell(_control(rollout, intent, shift.plan.reason, now_us)), shift]


def _shifted(rollout: Rollout, after: State, now_us: int) -> tuple[Rollout, list[Action]]:
    shift = rollout.shift
    if shift is None:
        return rollout, []
    applied = WeightApplied(shift.intent_id, shift.step, shift.weights)
    plan = shift.plan
    done = replace(
        plan, decision_id=decision_id(rollout.spec.id, plan.decision_id, "DONE"), outcome="DONE", time=now_us,
        sequence=rollout.decisions + 1, state_before=rollout.state.value, state_after=after.value,
    )  # fmt: skip
    settled = replace(
        rollout, state=after, step=shift.step, weights=shift.weights, shift=None, decisions=rollout.decisions + 1
    )
    return settled, [Tell(_control(rollout, applied, plan.reason, now_us)), Record(done)]


def _shift_failed(rollout: Rollout, event: Event, now_us: int) -> tuple[Rollout, list[Action]]:
    """Traffic is where it was: hold, until a person looks."""
    shift = rollout.shift
    if shift is None:
        return rollout, []
    failed = replace(
        shift.plan, decision_id=decision_id(rollout.spec.id, shift.plan.decision_id, "FAILED"), outcome="FAILED",
        time=now_us, sequence=rollout.decisions + 1, state_before=rollout.state.value, state_after=S.PAUSED.value,
        reason=event.reason, weights=rollout.weights, step=rollout.step,
    )  # fmt: skip
    return replace(rollout, state=S.PAUSED, shift=None, decisions=rollout.decisions + 1), [Record(failed)]


def _noted(rollout: Rollout, event: Event, now_us: int, before: State) -> tuple[Rollout, list[Action]]:
    """A decision that moves no traffic."""
    decision = _decision(rollout, event, "DONE", now_us, before, rollout.state, rollout.weights, rollout.step)
    return replace(rollout, decisions=rollout.decisions + 1), [Record(decision)]


def _refused(rollout: Rollout, event: Event, reason: str, now_us: int) -> tuple[Rollout, list[Action]]:
    if event.cause in rollout.known:
        return rollout, []
    told = replace(event, reason=f"refused: {reason}")
    decision = _decision(rollout, told, "REFUSED", now_us, rollout.state, rollout.state, rollout.weights, rollout.step)
    known = rollout.known | {event.cause}
    return replace(rollout, known=known, decisions=rollout.decisions + 1), [Record(decision)]


def decision_id(experiment_id: str, cause: str, what: str) -> str:
    """The same for the same thing, however often it is done."""
    return str(uuid.uuid5(NAMESPACE, f"{experiment_id}\0{cause}\0{what}"))


def _decision(
    rollout: Rollout, event: Event, outcome: Outcome, now_us: int, before: State, after: State,
    weights: Mapping[str, float], step_index: int,
) -> Decision:  # fmt: skip
    spec, verdict = rollout.spec, event.verdict
    details = {"sequence": str(rollout.sequence), "control_offset": str(rollout.control_offset)}
    details |= {"out": ",".join(sorted(rollout.out))}
    if verdict is not None:
        details |= {"action": verdict.action, "conclusion": verdict.conclusion}
    kind = "shift" if event.kind is K.ADVANCE else event.kind.value
    return Decision(
        decision_id(spec.id, event.cause, f"{kind} {outcome}"), spec.id, spec.service, spec.environment,
        rollout.decisions + 1, now_us, kind, outcome, event.actor, event.reason,
        verdict.verdict_id if verdict else None, event.variant, rollout.epoch, before.value, after.value, step_index,
        weights, details, spec.digest, f"davy {__version__}",
    )  # fmt: skip


def _control(rollout: Rollout, body: Body, reason: str, now_us: int) -> Control:
    return Control(rollout.spec.id, now_us, ACTOR, reason, body)


# -- after a restart ----------------------------------------------------------------------------------------------------


def recalled(rollout: Rollout, decision: Decision) -> Rollout:
    """The rollout after a decision of its ledger: how a restarted role finds out where it was."""
    taken = replace(
        rollout, decisions=max(rollout.decisions, decision.sequence), epoch=max(rollout.epoch, decision.epoch),
        sequence=max(rollout.sequence, int(decision.details.get("sequence", "0"))),
        control_offset=max(rollout.control_offset, int(decision.details.get("control_offset", "-1"))),
    )  # fmt: skip
    if decision.outcome == "REFUSED":
        return taken
    state = State(decision.state_after)
    out = frozenset(filter(None, decision.details.get("out", "").split(",")))
    if decision.outcome == "PLANNED":
        shift = Shift(decision.decision_id, decision.step or 0, decision.weights, decision)
        return replace(taken, state=state, shift=shift, out=out, ready=frozenset(), held=None)
    shift = rollout.shift if state in SHIFTS else None
    return replace(taken, state=state, step=decision.step or 0, weights=decision.weights, shift=shift, out=out)
