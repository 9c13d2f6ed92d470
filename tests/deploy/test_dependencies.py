"""What an open circuit does to a rollout: said once, held, given free again; also after a crash."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deploy.dependencies import STALE_US, take_probe
from deploy.reception import take_verdict
from deploy.transitions import State
from schemas.probe import Circuit, ProbeResult
from schemas.spec import Dependency
from tests.deploy.test_rollout import NOW, World, applied, verdict


def result(circuit: Circuit, at_us: int = NOW, services: tuple[str, ...] = (), target: str = "sessions") -> ProbeResult:
    ok = circuit == "CLOSED"
    return ProbeResult(
        target, "redis", at_us, ok, circuit, None, None if ok else "cannot be reached", 0.5, services
    )  # fmt: skip


def depending(on_open: str | None) -> World:
    """On `sessions` by its spec, or not at all."""
    world = applied()
    dependencies = (Dependency.model_validate({"target": "sessions", "on_open": on_open}),) if on_open else ()
    spec = world.rollout.spec.model_copy(update={"dependencies": dependencies})
    world.rollout = replace(world.rollout, spec=spec)
    return world


@pytest.mark.parametrize(("on_open", "services"), [("hold", ()), (None, ("s", "other"))])
def test_nothing_advances_while_it_is_open_and_the_ledger_says_why(
    on_open: str | None, services: tuple[str, ...]
) -> None:
    world = depending(on_open)
    before = len(world.ledger)
    for circuit in ("CLOSED", "OPEN", "HALF_OPEN", "OPEN"):
        world.do(take_probe(world.rollout, result(circuit, services=services), NOW))
    for sequence in (1, 2, 3):
        world.do(take_verdict(world.rollout, verdict("ADVANCE", sequence), NOW))
    opened, held = world.ledger[before:]
    assert (opened.kind, opened.outcome, opened.details["target"]) == ("circuit open", "DONE", "sessions")
    assert "the circuit of sessions (redis) is open: cannot be reached; 50 % of the latest" in opened.reason
    assert held.kind == "hold"
    assert held.reason.startswith("the circuit of sessions (redis) is open")
    assert world.rollout.state is State.BAKING
    world.do(take_probe(world.rollout, result("CLOSED", services=services), NOW))
    assert world.ledger[-1].kind == "circuit closed"
    world.do(take_verdict(world.rollout, verdict("ADVANCE", 4), NOW))
    assert world.weights["canary"] == 0.5


def test_it_takes_traffic_back_where_the_spec_says_so() -> None:
    world = depending("rollback")
    world.do(take_probe(world.rollout, result("OPEN"), NOW))
    assert (world.rollout.state, world.weights["canary"]) == (State.ROLLED_BACK, 0.0)
    assert "the circuit of sessions" in world.ledger[-1].reason


def test_others_circuits_and_old_results_do_nothing() -> None:
    world = depending("hold")
    before = len(world.ledger)
    for each in (
        result("OPEN", target="other"),
        result("OPEN", NOW - STALE_US - 1),
        result("OPEN", services=("x",), target="y"),
    ):
        world.do(take_probe(world.rollout, each, NOW))
    assert (len(world.ledger), dict(world.rollout.circuits)) == (before, {})


def test_a_rollback_is_never_held() -> None:
    world = depending("hold")
    world.do(take_probe(world.rollout, result("OPEN"), NOW))
    world.do(take_verdict(world.rollout, verdict("ROLLBACK", 1), NOW))
    assert world.rollout.state is State.ROLLED_BACK


def test_who_starts_again_knows_it_from_the_ledger() -> None:
    world = depending("hold")
    world.do(take_probe(world.rollout, result("OPEN"), NOW))
    world.restart()
    assert list(world.rollout.circuits) == ["sessions"]
    world.do(take_verdict(world.rollout, verdict("ADVANCE", 1), NOW))
    assert world.ledger[-1].kind == "hold"
