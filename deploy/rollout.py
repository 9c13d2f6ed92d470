"""The rollout of one experiment as a pure state machine: verdicts and commands in, decisions and shifts out.

Every action is in the ledger before it is carried out (PLANNED) and after (DONE or FAILED). A shift is announced on the
control topic (`WeightIntent`), made, read back, and told (`WeightApplied`). Ids are derived from the cause, so doing a
thing again after a crash does and says the same. The transitions are one table (`deploy.transitions`); what is not in it is
refused, and every refusal is a line of the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from deploy.ledger import decision_id
from deploy.rollout_state import ACTOR, Action, Event, Record, Rollout, Shift, Tell, known_after
from deploy.splitter import BUCKETING, step_weights
from deploy.transitions import TRANSITIONS, Kind, State
from schemas import __version__
from schemas.control import Body, Control, WeightApplied, WeightIntent
from schemas.decision import Decision, Outcome

REBUCKETED = (
    "this version of Davy puts units into other buckets than the one it began with: go on with that, or under a new id"
)
PLANNED_MAX_US = 300_000_000
"""How long a shift that does not protect stays planned while nobody is there to be told."""
WAITS = "waits for a person's approval (davy approve)"

S, K = State, Kind


def step(rollout: Rollout, event: Event, now_us: int) -> tuple[Rollout, list[Action]]:
    """What an event changes, and what must be done about it, in order."""
    after = TRANSITIONS.get((rollout.state, event.kind))
    if event.kind is K.APPLY and event.spec is not None and rollout.state not in (S.PENDING, S.QUEUED):
        if event.spec.digest == rollout.spec.digest:
            return rollout, []
    if after is None:
        return refused(rollout, event, f"{event.kind} does not apply while {rollout.state}", now_us)
    match event.kind:
        case K.APPLY | K.QUEUE:
            return _apply(rollout, event, now_us)
        case K.SHIFTED:
            return _shifted(rollout, event, after, now_us)
        case K.SHIFT_FAILED:
            return _shift_failed(rollout, event, now_us)
        case K.ADVANCE:
            return _advance(rollout, event, now_us)
        case K.HOLD:
            return _hold(rollout, event, now_us)
        case K.PROMOTE if (missing := _missing(rollout, event)) is not None:
            return _waits(rollout, event, missing, now_us)
        case K.APPROVE:
            return _noted(replace(rollout, state=after, held=None, approved=True), event, now_us, rollout.state)
        case K.PROMOTE | K.ROLLBACK | K.FORCE_PROMOTE | K.FORCE_ROLLBACK | K.ABORT:
            return _plan(rollout, event, after, rollout.step, now_us)
        case _:
            return _noted(replace(rollout, state=after, held=None), event, now_us, rollout.state)


# -- what follows from an event ----------------------------------------------------------------------------------------


def _apply(rollout: Rollout, event: Event, now_us: int) -> tuple[Rollout, list[Action]]:
    """A new spec begins at its first step, whatever was before, or waits in line; the fence and the ledger go on."""
    spec, before = event.spec or rollout.spec, rollout
    fresh = Rollout(spec, fence=before.fence, chain=before.chain, control_offset=before.control_offset)
    if event.kind is K.QUEUE:
        return _noted(replace(fresh, state=S.QUEUED, queued_at=before.control_offset), event, now_us, rollout.state)
    if spec.mode == "shadow":
        return _noted(replace(fresh, state=S.BAKING), event, now_us, S.PENDING)
    return _plan(fresh, event, S.SHIFTING, 0, now_us)


def _advance(rollout: Rollout, event: Event, now_us: int) -> tuple[Rollout, list[Action]]:
    """The next step begins once every candidate that is still in says so."""
    verdict = event.verdict
    if verdict is None or verdict.step != rollout.step or rollout.step + 1 >= len(rollout.spec.steps):
        return rollout, []
    ready = rollout.ready | {verdict.variant}
    if not ready >= frozenset(rollout.spec.candidates) - rollout.out:
        return replace(rollout, ready=ready), []
    if rollout.bucketing != BUCKETING:
        return _waits(replace(rollout, ready=ready), event, REBUCKETED, now_us)
    if rollout.spec.policy.approval == "steps" and not rollout.approved:
        return _waits(replace(rollout, ready=ready), event, WAITS, now_us)
    return _plan(rollout, event, S.SHIFTING, rollout.step + 1, now_us)


def _missing(rollout: Rollout, event: Event) -> str | None:
    """What a promotion still waits for, beyond its verdict."""
    policy, verdict = rollout.spec.policy, event.verdict
    if policy.approval != "none" and not rollout.approved:
        return WAITS
    if verdict is not None and policy.healthy_for_us:
        healthy_us = verdict.event_time - rollout.healthy.get(verdict.variant, verdict.event_time)
        if healthy_us < policy.healthy_for_us:
            return f"has to be healthy for {policy.healthy_for_us / 1e6:g} s without interruption"
    return None


def _waits(rollout: Rollout, event: Event, missing: str, now_us: int) -> tuple[Rollout, list[Action]]:
    """Held although its verdict would let it go on; told once."""
    if rollout.held == missing:
        return rollout, []
    waiting = replace(event, kind=K.HOLD, reason=f"{missing}: {event.reason}")
    return _noted(replace(rollout, held=missing), waiting, now_us, rollout.state)


def _hold(rollout: Rollout, event: Event, now_us: int) -> tuple[Rollout, list[Action]]:
    """Told when the conclusion changes, not with every number in the sentence."""
    verdict = event.verdict
    held = f"{event.variant}: {verdict.conclusion}, {verdict.action}" if verdict else event.reason
    if rollout.held == held:
        return rollout, []
    return _noted(replace(rollout, held=held), event, now_us, rollout.state)


def held_by_circuit(rollout: Rollout, event: Event, now_us: int) -> tuple[Rollout, list[Action]]:
    """What would go on is held while a dependency's circuit is open."""
    return _waits(rollout, event, "; ".join(rollout.circuits[name] for name in sorted(rollout.circuits)), now_us)


def _plan(rollout: Rollout, event: Event, state: State, step_index: int, now_us: int) -> tuple[Rollout, list[Action]]:
    """Plan a shift: into the ledger first, then announced, then made."""
    if rollout.state is S.QUEUED:  # it has no traffic yet
        return _noted(replace(rollout, state=state), event, now_us, rollout.state)
    spec, out = rollout.spec, rollout.out
    leaving = frozenset([event.variant]) if event.variant else frozenset(spec.candidates)
    if rollout.state in (S.PROMOTING, S.PROMOTED):
        leaving = frozenset(spec.candidates)  # the others are out of the race
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
    planned = replace(rollout, state=state, out=out, ready=frozenset(), held=None, approved=False)
    decision = _decision(planned, event, "PLANNED", now_us, before, state, weights, step_index)
    planned, record = _written(planned, decision)
    planned = replace(planned, shift=Shift(decision.decision_id, step_index, weights, record.decision))
    return planned, [record, *announce(planned, now_us)]


def _written(rollout: Rollout, decision: Decision) -> tuple[Rollout, Record]:
    """The decision at the end of the experiment's chain; its `cause` is known from now on."""
    chain, linked = rollout.chain.add(decision)
    return replace(rollout, chain=chain, known=known_after(rollout, decision)), Record(linked)


def announce(rollout: Rollout, now_us: int) -> list[Action]:
    """Announce and make the planned shift; after a crash, once more."""
    shift = rollout.shift
    if shift is None:
        return []
    return [_intended(rollout, shift, now_us), shift]


def _intended(rollout: Rollout, shift: Shift, now_us: int) -> Tell:
    intent = WeightIntent(shift.intent_id, shift.step, shift.weights, shift.plan.verdict_id)
    return Tell(_control(rollout, intent, shift.plan.reason, now_us))


def applied(rollout: Rollout, shift: Shift, now_us: int) -> Tell:
    """The shift was made, and read back."""
    body = WeightApplied(shift.intent_id, shift.step, shift.weights)
    return Tell(_control(rollout, body, shift.plan.reason, now_us))


def _shifted(rollout: Rollout, event: Event, after: State, now_us: int) -> tuple[Rollout, list[Action]]:
    shift = rollout.shift
    if shift is None or shift.intent_id != event.cause:
        return rollout, []  # another shift took its place
    plan = shift.plan
    done = replace(
        plan, decision_id=decision_id(rollout.spec.id, plan.decision_id, "DONE"), outcome="DONE", time=now_us,
        state_before=rollout.state.value, state_after=after.value, details={**plan.details, "trace": event.trace},
    )  # fmt: skip
    promoted_us = now_us if after is S.PROMOTED else None
    settled = replace(
        rollout, state=after, step=shift.step, weights=shift.weights, shift=None, promoted_us=promoted_us, split_us=now_us,
    )  # fmt: skip
    settled, record = _written(settled, done)
    return settled, [applied(rollout, shift, now_us), record]


def protects(shift: Shift) -> bool:
    """Whether a shift takes traffic from what may do harm: it is done again until it is done, and never undone."""
    return shift.plan.kind in (K.ROLLBACK, K.FORCE_ROLLBACK, K.ABORT)


def overdue(shift: Shift, now_us: int) -> bool:
    """Whether nobody was there to be told for so long that what was planned rests on old verdicts."""
    return now_us - shift.plan.time > PLANNED_MAX_US


def _shift_failed(rollout: Rollout, event: Event, now_us: int) -> tuple[Rollout, list[Action]]:
    """Traffic is where it was: hold, until a person looks. But a rollback stays planned, and for a while what nobody was there
    to be told, too; that is said once."""
    shift = rollout.shift
    if shift is None or shift.intent_id != event.cause:
        return rollout, []
    if protects(shift) or (event.away and not overdue(shift, now_us)):
        return _stuck(rollout, shift, event, now_us)
    failed = replace(
        shift.plan, outcome="FAILED",
        decision_id=decision_id(rollout.spec.id, shift.plan.decision_id, "GIVEN UP" if event.away else "FAILED"),
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
    return rollout, [record]


def put_right(rollout: Rollout, stray: Shift, now_us: int) -> tuple[Rollout, list[Action], Shift]:
    """A process that did not lead any more made a shift: what is to be said of it, once, and the shift to what holds."""
    weights, cause = rollout.weights or step_weights(rollout.spec, 0.0), f"{stray.intent_id} strayed"
    why = "it was made while another process led; traffic is set to what holds"
    event = Event(K.SHIFT_FAILED, cause, why)
    failed = _decision(rollout, event, "FAILED", now_us, rollout.state, rollout.state, rollout.weights, rollout.step)
    failed = replace(failed, kind=stray.plan.kind, details={**failed.details, "cause": cause})
    shift = Shift(failed.decision_id, rollout.step, weights, failed)
    actions: list[Action] = [_intended(rollout, shift, now_us)]
    if cause not in rollout.known and dict(weights) != dict(stray.weights):
        rollout, record = _written(rollout, failed)
        actions.insert(0, record)
    return rollout, actions, shift


def _noted(rollout: Rollout, event: Event, now_us: int, before: State) -> tuple[Rollout, list[Action]]:
    """A decision that moves no traffic."""
    decision = _decision(rollout, event, "DONE", now_us, before, rollout.state, rollout.weights, rollout.step)
    rollout, record = _written(rollout, decision)
    return rollout, [record]


def noted(rollout: Rollout, event: Event, now_us: int, kind: str) -> tuple[Rollout, Record]:
    """Something that was done and changes no state, under a name of its own."""
    decision = _decision(rollout, event, "DONE", now_us, rollout.state, rollout.state, rollout.weights, rollout.step)
    return _written(rollout, replace(decision, kind=kind, details={**decision.details, "trace": event.trace}))


def refused(rollout: Rollout, event: Event, reason: str, now_us: int) -> tuple[Rollout, list[Action]]:
    """A line of the ledger, once for each cause; nothing else changes."""
    if event.cause in rollout.known:
        return rollout, []
    told = replace(event, reason=f"refused: {reason}")
    decision = _decision(rollout, told, "REFUSED", now_us, rollout.state, rollout.state, rollout.weights, rollout.step)
    decision = replace(decision, details={**decision.details, "cause": event.cause})
    rollout, record = _written(rollout, decision)
    return rollout, [record]


def _decision(
    rollout: Rollout, event: Event, outcome: Outcome, now_us: int, before: State, after: State,
    weights: Mapping[str, float], step_index: int,
) -> Decision:  # fmt: skip
    spec, verdict = rollout.spec, event.verdict
    fence = rollout.fence
    details = {"sequence": str(fence.sequence), "control_offset": str(rollout.control_offset)}
    details |= {"taken_epoch": str(fence.taken_epoch), "verdict_offset": str(fence.offset)}
    details |= {
        "bucketing": rollout.bucketing,
        "out": ",".join(sorted(rollout.out)),
        "approved": "yes" if rollout.approved else "no",
    }
    if event.target is not None:
        details |= {"target": event.target}
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
