"""What an open circuit of a dependency does to a rollout: it holds it, or takes the traffic back where the spec says so. Every
circuit that opens or closes is a line of the ledger of each rollout that depends on it."""

from __future__ import annotations

from dataclasses import replace

from deploy.rollout import step
from deploy.rollout_state import Action, Event, Rollout, circuits
from deploy.transitions import TRANSITIONS, Kind, State
from schemas.probe import ProbeResult

STALE_US = 600_000_000
"""Older results are history: after a pause the role reads them again."""


def take_probe(rollout: Rollout, result: ProbeResult, now_us: int) -> tuple[Rollout, list[Action]]:
    """A probe's result; only a circuit that opened or closed changes anything."""
    on_open = depends(rollout, result)
    is_open = result.circuit != "CLOSED"
    if on_open is None or now_us - result.time > STALE_US or is_open == (result.target in rollout.circuits):
        return rollout, []
    reason = said(result)
    after = replace(rollout, circuits=circuits(rollout, result.target, is_open, reason))
    kind = Kind.CIRCUIT_OPEN if is_open else Kind.CIRCUIT_CLOSED
    if is_open and on_open == "rollback" and rollout.state in (State.BAKING, State.PAUSED):
        kind = Kind.ROLLBACK
    if (rollout.state, kind) not in TRANSITIONS:
        return after, []
    return step(after, Event(kind, f"{result.target} {result.time}", reason, target=result.target), now_us)


def depends(rollout: Rollout, result: ProbeResult) -> str | None:
    """What an open circuit of the target does to it, None where it does not depend on it: the spec says so, or the
    configuration's list of services."""
    for dependency in rollout.spec.dependencies:
        if dependency.target == result.target:
            return dependency.on_open
    return "hold" if rollout.spec.service in result.services else None


def said(result: ProbeResult) -> str:
    """The sentence for the ledger."""
    if result.circuit == "CLOSED":
        return f"the circuit of {result.target} ({result.kind}) is closed again: it answers"
    why = f": {result.error}" if result.error else ""
    return (
        f"the circuit of {result.target} ({result.kind}) is open{why}; {100 * result.error_ratio:.0f} % of the latest "
        "probes failed; nothing advances until it is closed"
    )
