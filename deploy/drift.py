"""Drift: traffic that is not split any more as the ledger says, because a proxy began anew or somebody's hand was there.

A proxy that restarts has its weights from its own file again, and would send users to a candidate that was rolled back. So the
rollout role looks at the targets every few seconds and sets right what it finds, without a new decision: what holds stands in
the ledger. Whose split holds: of the experiments on one service and environment the one that set it last, while its rollout
is at work, and after its end for `rollback.window`; then the traffic is others' to split.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from deploy.parallel import OVER
from deploy.rollout import announce, applied, noted
from deploy.rollout_state import Action, Event, Rollout, Shift
from deploy.traffic.base import Order, Target, TargetAway, TargetError
from deploy.transitions import Kind

RESTORE = "restore"


def in_force(rollouts: Iterable[Rollout], now_us: int) -> list[Rollout]:
    """Rollouts whose split is the one that traffic must have now."""
    latest: dict[tuple[str, str], Rollout] = {}
    for rollout in rollouts:
        place = (rollout.spec.service, rollout.spec.environment)
        held = latest.get(place)
        if rollout.split_us is not None and (held is None or (held.split_us or 0) < rollout.split_us):
            latest[place] = rollout
    return [held for held in latest.values() if held.shift is None and not _forgotten(held, now_us)]


def _forgotten(rollout: Rollout, now_us: int) -> bool:
    ended_us = rollout.split_us if rollout.state in OVER else None
    return ended_us is not None and now_us - ended_us > rollout.spec.rollback.window_us


def restored(rollout: Rollout, fault: str, trace: str, now_us: int) -> tuple[Rollout, list[Action]]:
    """What is to be said once traffic is as it should be again: a line of the ledger, and that the weights were set anew."""
    why = f"traffic was not as decided, and was set right: {fault}"
    after, record = noted(
        rollout, Event(Kind.SHIFTED, f"{rollout.chain.head} drifted", why, trace=trace), now_us, RESTORE
    )
    shift = Shift(record.decision.decision_id, rollout.step, rollout.weights, record.decision)
    told = [action for action in announce(replace(after, shift=shift), now_us) if not isinstance(action, Shift)]
    return after, [record, *told, applied(after, shift, now_us)]


# -- what targets say --------------------------------------------------------------------------------------------------


def order_of(rollout: Rollout) -> Order:
    """The split that holds, once more; it protects: what cannot be set right is not undone either."""
    name = f"{rollout.spec.id} {RESTORE} {rollout.chain.head}"
    return Order(name, rollout.spec, rollout.weights, rollout.weights, kind=RESTORE, step=rollout.step, protects=True)


def fault_of(order: Order, targets: Iterable[Target], silent: set[str]) -> str | None:
    """What a target says that is not as ordered. Who does not answer says nothing: it comes to `silent`, and is not asked."""
    for target in targets:
        if target.blind or target.name in silent:
            continue
        try:
            fault = target.fault(order)
        except TargetError:
            silent.add(target.name)
            continue
        if fault is not None:
            return fault
    return None


def away(order: Order, targets: Iterable[Target]) -> bool:
    """Whether somebody is not there to be told."""
    for target in targets:
        try:
            target.fault(order)
        except TargetAway:
            return True
        except TargetError:
            continue
    return False
