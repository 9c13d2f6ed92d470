"""What reaches a rollout from outside: verdicts and persons' commands, each taken, passed over, or refused into the ledger."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from deploy.fence import UNKNOWN_OFFSET, expiry
from deploy.rollout import held_by_circuit, refused, step
from deploy.rollout_state import Action, Event, Rollout
from deploy.transitions import COMMANDS, TRANSITIONS, Kind, State
from schemas.control import Command
from schemas.verdict import Verdict

FIRST_EPOCH = 1
VERDICT_KINDS = {"ADVANCE": Kind.ADVANCE, "HOLD": Kind.HOLD, "PROMOTE": Kind.PROMOTE, "ROLLBACK": Kind.ROLLBACK}

S, K = State, Kind


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
    rollout = replace(rollout, fence=fence.taken(verdict, offset), healthy=_healthy(rollout, verdict))
    if not _asks(rollout, verdict, now_us):
        return replace(rollout, held=None) if verdict.action == "CONTINUE" else rollout, []
    old = expiry(verdict, now_us)
    if old is not None:
        return refused(rollout, event, old, now_us)
    if event.kind is K.PROMOTE and verdict.conclusion != "HEALTHY":
        return refused(rollout, event, f"it is to PROMOTE what it finds {verdict.conclusion}", now_us)
    if event.kind in (K.ADVANCE, K.PROMOTE):
        if rollout.state is S.PAUSED:
            return rollout, []
        if rollout.circuits:
            return held_by_circuit(rollout, event, now_us)
    return step(rollout, event, now_us)


def _asks(rollout: Rollout, verdict: Verdict, now_us: int) -> bool:
    """Whether a verdict asks this rollout for anything, in the state in which it is."""
    if verdict.action == "CONTINUE" or verdict.variant in rollout.out or rollout.spec.mode == "shadow":
        return False
    if verdict.action == "ROLLBACK":
        if rollout.state is S.PROMOTED and rollout.promoted_us is not None:
            return now_us - rollout.promoted_us <= rollout.spec.rollback.window_us
        return verdict.phase == "rollout" and rollout.state not in (S.ROLLED_BACK, S.ABORTED, S.PENDING, S.QUEUED)
    return verdict.phase == "rollout" and rollout.state in (S.BAKING, S.PAUSED)


def _healthy(rollout: Rollout, verdict: Verdict) -> Mapping[str, int]:
    """Since when each candidate is healthy without interruption, after this verdict."""
    held = {name: since for name, since in rollout.healthy.items() if name != verdict.variant}
    if verdict.conclusion != "HEALTHY" or verdict.action == "HOLD":
        return held
    return held | {verdict.variant: rollout.healthy.get(verdict.variant, verdict.event_time)}


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
