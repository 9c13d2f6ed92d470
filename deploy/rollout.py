"""The rollout of one experiment as a pure state machine: verdicts and commands in, decisions and shifts out.

Every action is in the ledger before it is carried out (PLANNED) and after (DONE or FAILED). A shift is announced on the
control topic (`WeightIntent`), made, read back, and told (`WeightApplied`). Ids are derived from the cause, so doing a
thing again after a crash does and says the same. The transitions are one table (`deploy.transitions`); what is not in it is
refused, and every refusal is a line of the ledger.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from deploy.fence import UNKNOWN_OFFSET, expiry
from deploy.ledger import decision_id
from deploy.rollout_state import ACTOR, KNOWN_MAX, Action, Event, Record, Rollout, Shift, Tell
from deploy.splitter import step_weights
from deploy.transitions import COMMANDS, SHIFTS, TRANSITIONS, Kind, State
from schemas import __version__
from schemas.control import Body, Command, Control, WeightApplied, WeightIntent
from schemas.decision import Decision, Outcome
from schemas.verdict import Verdict

FIRST_EPOCH = 1
VERDICT_KINDS = {"ADVANCE": Kind.ADVANCE, "HOLD": Kind.HOLD, "PROMOTE": Kind.PROMOTE, "ROLLBACK": Kind.ROLLBACK}

S, K = State, Kind


def step(rollout: Rollout, event: Event, now_us: int) -> tuple[Rollout, list[Action]]:
    """What an event changes, and what must be done about it, in order."""
    after = TRANSITIONS.get((rollout.state, event.kind))
    if event.kind is K.APPLY and event.spec is not None:
        if rollout.state is not S.PENDING and event.spec.digest == rollout.spec.digest:
            return rollout, []
        if after is not None:
            fresh = Rollout(event.spec, fence=rollout.fence, chain=rollout.chain, control_offset=rollout.control_offset)
            if event.spec.mode == "shadow":
                return _noted(replace(fresh, state=S.BAKING), event, now_us, S.PENDING)
            return _plan(fresh, event, S.SHIFTING, 0, now_us)
    if after is None:
        return refused(rollout, event, f"{event.kind} does not apply while {rollout.state}", now_us)
    match event.kind:
        case K.SHIFTED:
            return _shifted(rollout, event, after, now_us)
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


def take_verdict(
    rollout: Rollout, verdict: Verdict, now_us: int, offset: int = UNKNOWN_OFFSET
) -> tuple[Rollout, list[Action]]:
    """A verdict from the log (its signature was checked): refused when it is of an older epoch, was said before or has
    expired; nothing when it asks for nothing. Order counts: what is refused moves no fence."""
    kind = VERDICT_KINDS.get(verdict.action, K.HOLD)
    event = Event(kind, verdict.verdict_id, verdict.reason, verdict=verdict, variant=verdict.variant)
    fence = rollout.fence
    if fence.repeats(verdict, offset):
        return replace(rollout, fence=fence.heard(verdict.epoch)), []
    fault = fence.fault(verdict.epoch, verdict.sequence)
    if fault is not None:
        return refused(rollout, replace(event, cause=f"{event.cause} {verdict.epoch}"), fault, now_us)
    if verdict.epoch > max(fence.epoch, FIRST_EPOCH) and (rollout.state, K.NEW_JUDGE) in TRANSITIONS:
        # into the ledger, so that whoever goes on after a crash still refuses what older judges say
        over = f"a judge took over (epoch {verdict.epoch}): what older ones say is refused from now on"
        noted = Event(K.NEW_JUDGE, f"epoch {verdict.epoch}", over)
        rollout, told = step(replace(rollout, fence=fence.heard(verdict.epoch)), noted, now_us)
        after, actions = take_verdict(rollout, verdict, now_us, offset)
        return after, [*told, *actions]
    rollout = replace(rollout, fence=fence.taken(verdict, offset))
    if verdict.phase != "rollout" or verdict.variant in rollout.out or verdict.action == "CONTINUE":
        return replace(rollout, held=None) if verdict.action == "CONTINUE" else rollout, []
    if rollout.spec.mode == "shadow":
        return rollout, []
    if rollout.state in SHIFTS or (verdict.action != "ROLLBACK" and rollout.state not in (S.BAKING, S.PAUSED)):
        return rollout, []
    old = expiry(verdict, now_us)
    if old is not None:
        return refused(rollout, event, old, now_us)
    if rollout.state is S.PAUSED and event.kind in (K.ADVANCE, K.PROMOTE):
        return rollout, []
    return step(rollout, event, now_us)


def refuse_verdict(
    rollout: Rollout, verdict: Verdict, fault: str, value: bytes, now_us: int
) -> tuple[Rollout, list[Action]]:
    """A verdict that is not to be believed is a line of the ledger; its `value` tells it from one that may be real."""
    cause = f"{verdict.verdict_id} {hashlib.sha256(value).hexdigest()}"
    kind = VERDICT_KINDS.get(verdict.action, K.HOLD)
    return refused(rollout, Event(kind, cause, "", verdict=verdict), f"a verdict to {verdict.action}: {fault}", now_us)


def take_command(
    rollout: Rollout, command: Command, actor: str, reason: str, now_us: int
) -> tuple[Rollout, list[Action]]:
    """A person's command."""
    kind = COMMANDS.get(command.command)
    event = Event(kind or K.HOLD, command.command_id, reason, actor, variant=command.variant)
    if kind is None:
        return refused(rollout, event, f"there is no command {command.command!r}", now_us)
    if command.variant is not None and command.variant not in rollout.spec.candidates:
        return refused(rollout, event, f"there is no candidate {command.variant!r}", now_us)
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
    planned, record = _written(planned, decision)
    planned = replace(planned, shift=Shift(decision.decision_id, step_index, weights, record.decision))
    return planned, [record, *announce(planned, now_us)]


def _written(rollout: Rollout, decision: Decision) -> tuple[Rollout, Record]:
    """The decision at the end of the experiment's chain."""
    chain, linked = rollout.chain.add(decision)
    return replace(rollout, chain=chain), Record(linked)


def announce(rollout: Rollout, now_us: int) -> list[Action]:
    """Announce and make the planned shift; after a crash, once more."""
    shift = rollout.shift
    if shift is None:
        return []
    intent = WeightIntent(shift.intent_id, shift.step, shift.weights, shift.plan.verdict_id)
    return [Tell(_control(rollout, intent, shift.plan.reason, now_us)), shift]


def _shifted(rollout: Rollout, event: Event, after: State, now_us: int) -> tuple[Rollout, list[Action]]:
    shift = rollout.shift
    if shift is None:
        return rollout, []
    applied = WeightApplied(shift.intent_id, shift.step, shift.weights)
    plan = shift.plan
    done = replace(
        plan, decision_id=decision_id(rollout.spec.id, plan.decision_id, "DONE"), outcome="DONE", time=now_us,
        state_before=rollout.state.value, state_after=after.value, details={**plan.details, "trace": event.trace},
    )  # fmt: skip
    settled = replace(rollout, state=after, step=shift.step, weights=shift.weights, shift=None)
    settled, record = _written(settled, done)
    return settled, [Tell(_control(rollout, applied, plan.reason, now_us)), record]


def protects(shift: Shift) -> bool:
    """Whether a shift takes traffic from what may do harm: it is done again until it is done, and never undone."""
    return shift.plan.kind in (K.ROLLBACK, K.FORCE_ROLLBACK, K.ABORT)


def _shift_failed(rollout: Rollout, event: Event, now_us: int) -> tuple[Rollout, list[Action]]:
    """Traffic is where it was: hold, until a person looks; but a rollback stays planned, and is told once."""
    shift = rollout.shift
    if shift is None:
        return rollout, []
    if protects(shift):
        return _stuck(rollout, shift, event, now_us)
    failed = replace(
        shift.plan, decision_id=decision_id(rollout.spec.id, shift.plan.decision_id, "FAILED"), outcome="FAILED",
        time=now_us, state_before=rollout.state.value, state_after=S.PAUSED.value, reason=event.reason,
        weights=rollout.weights, step=rollout.step, details={**shift.plan.details, "trace": event.trace},
    )  # fmt: skip
    paused, record = _written(replace(rollout, state=S.PAUSED, shift=None), failed)
    return paused, [record]


def _stuck(rollout: Rollout, shift: Shift, event: Event, now_us: int) -> tuple[Rollout, list[Action]]:
    cause = f"{shift.intent_id} stuck"
    if cause in rollout.known:
        return rollout, []
    failed = replace(
        shift.plan, decision_id=decision_id(rollout.spec.id, shift.plan.decision_id, "FAILED"), outcome="FAILED",
        time=now_us, state_before=rollout.state.value, state_after=rollout.state.value,
        reason=f"{event.reason}; it is tried again until it is done", weights=rollout.weights, step=rollout.step,
        details={**shift.plan.details, "trace": event.trace, "cause": cause},
    )  # fmt: skip
    rollout, record = _written(rollout, failed)
    return replace(rollout, known=(*rollout.known, cause)[-KNOWN_MAX:]), [record]


def _noted(rollout: Rollout, event: Event, now_us: int, before: State) -> tuple[Rollout, list[Action]]:
    """A decision that moves no traffic."""
    decision = _decision(rollout, event, "DONE", now_us, before, rollout.state, rollout.weights, rollout.step)
    rollout, record = _written(rollout, decision)
    return rollout, [record]


def refused(rollout: Rollout, event: Event, reason: str, now_us: int) -> tuple[Rollout, list[Action]]:
    """A line of the ledger, once for each cause; nothing else changes."""
    if event.cause in rollout.known:
        return rollout, []
    told = replace(event, reason=f"refused: {reason}")
    decision = _decision(rollout, told, "REFUSED", now_us, rollout.state, rollout.state, rollout.weights, rollout.step)
    decision = replace(decision, details={**decision.details, "cause": event.cause})
    rollout, record = _written(rollout, decision)
    return replace(rollout, known=(*rollout.known, event.cause)[-KNOWN_MAX:]), [record]


def _decision(
    rollout: Rollout, event: Event, outcome: Outcome, now_us: int, before: State, after: State,
    weights: Mapping[str, float], step_index: int,
) -> Decision:  # fmt: skip
    spec, verdict = rollout.spec, event.verdict
    fence = rollout.fence
    details = {"sequence": str(fence.sequence), "control_offset": str(rollout.control_offset)}
    details |= {"taken_epoch": str(fence.taken_epoch), "verdict_offset": str(fence.offset)}
    details |= {"out": ",".join(sorted(rollout.out))}
    if verdict is not None:
        details |= {"action": verdict.action, "conclusion": verdict.conclusion}
    kind = "shift" if event.kind is K.ADVANCE else event.kind.value
    return Decision(
        decision_id(spec.id, event.cause, f"{kind} {outcome}"), spec.id, spec.service, spec.environment,
        0, now_us, kind, outcome, event.actor, event.reason,
        verdict.verdict_id if verdict else None, event.variant, fence.epoch, before.value, after.value, step_index,
        weights, details, spec.digest, f"davy {__version__}",
    )  # fmt: skip


def _control(rollout: Rollout, body: Body, reason: str, now_us: int) -> Control:
    return Control(rollout.spec.id, now_us, ACTOR, reason, body)
