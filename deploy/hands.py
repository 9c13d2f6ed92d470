"""The hands: all rollouts and the traffic target; what the rollout role's agents call, message by message."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import Counter, Gauge

from deploy.dependencies import take_probe
from deploy.drift import away, fault_of, in_force, order_of, restored
from deploy.executor import Executor
from deploy.journal import Journal
from deploy.ledger import Chain, decision_id
from deploy.parallel import OVER, in_the_way, next_in_line
from deploy.reception import refuse_verdict, take_command, take_verdict
from deploy.rollout import announce, applied, overdue, protects, put_right, refused, step
from deploy.rollout_state import ACTOR, Action, Event, Record, Rollout, Shift, Tell
from deploy.splitter import step_weights
from deploy.traffic import targets
from deploy.traffic.base import Order
from deploy.transitions import Kind
from schemas import __version__
from schemas.config import Config
from schemas.control import Command, Control, SpecApplied
from schemas.decision import Decision
from schemas.model import ID
from schemas.probe import ProbeResult
from schemas.signature import HEADER, Keys, Signer, of_headers
from schemas.spec import ExperimentSpec, load_specs
from schemas.verdict import Verdict
from streams.clock import Clock

ASKING = frozenset({"ADVANCE", "PROMOTE", "ROLLBACK"})
"""Verdicts that are refused where their experiment is unknown; the others ask for nothing, and its spec may be on its way."""
STRANGERS_MAX = 1_000
"""Unknown experiments whose verdicts and commands are lines of the ledger; of more, they are only logged."""

log = structlog.get_logger("rollout")
DECISIONS = Counter("davy_rollout_decisions_total", "Lines of the ledger written.", ["kind", "outcome"])
VERDICT_AGE = Gauge("davy_rollout_verdict_age_seconds", "Age of the last verdict when it was taken.")
EVENT_TIME = Gauge("davy_rollout_event_time_seconds", "Event time up to which the last verdict saw events.")
REFUSED = Counter("davy_rollout_refused_total", "Verdicts and commands that were refused.", ["kind"])
Publish = Callable[[str, str, bytes, Mapping[str, bytes]], Awaitable[None]]
"""Topic name, key, value, headers; returns once the broker has it."""
Leads = Callable[[Decision], Awaitable[bool]]
"""Whether a record that was written holds: nobody else wrote in its place."""


Stands = Callable[[str, str | None], Awaitable[bool]]
"""Whether a record, by its hash, is still the last one of its experiment that holds."""


async def _alone(*_: Any) -> bool:
    return True


class Superseded(Exception):
    """Another process wrote the ledger in this one's place: what this one knows is not what is."""


class Hands:
    """Every rollout by its experiment; takes records, writes the ledger, moves traffic."""

    def __init__(self, config: Config, publish: Publish) -> None:
        self.config = config
        self.publish = publish
        self.clock = Clock.of(config)
        self.keys = Keys.of(config.signing)
        self.signer = Signer.of(config.signing)
        self.targets = targets(config)
        self.leads: Leads = _alone
        self.stands: Stands = _alone
        self.rollouts: dict[str, Rollout] = {}
        self.strangers: dict[str, Chain] = {}
        """The ledger's ends of experiments that have no spec."""
        self.strayed: dict[str, Shift] = {}
        """By experiment, shifts that were made while another process already led."""

    async def control(self, value: bytes, offset: int, _: Any) -> None:
        """A record of the control topic; the role's own come back here and mean nothing to it."""
        control = Control.decode(value)
        held = self.rollouts.get(control.experiment_id)
        if held is not None and offset <= held.control_offset:
            return
        now_us = self.clock.now_us()
        if isinstance(control.body, SpecApplied):
            (spec,) = load_specs(control.body.document, path=control.body.path)
            event = Event(Kind.APPLY, spec.digest, control.reason, control.actor, spec=spec)
            await self._apply(held, event, spec, offset, now_us)
        elif isinstance(control.body, Command):
            if held is None:
                command = control.body
                await self._refuse_stranger(control.experiment_id, command.command, command.command_id, control.actor)
                return
            taken = replace(held, control_offset=offset)
            await self._carry_out(*take_command(taken, control.body, control.actor, control.reason, now_us))

    async def _apply(self, held: Rollout | None, event: Event, spec: ExperimentSpec, offset: int, now_us: int) -> None:
        """Put a spec in force; while another experiment splits the same traffic it waits in line, or is refused."""
        fresh = replace(held or Rollout(spec, chain=self.strangers.get(spec.id, Chain())), control_offset=offset)
        blocker = in_the_way(spec, self.rollouts.values())
        if blocker is None:
            await self._carry_out(*step(fresh, event, now_us))
            return
        why = f"{blocker.spec.id} is at work on {spec.service} in {spec.environment}, and they are not in different layers"
        if held is not None and (held.state not in OVER or held.spec.digest == spec.digest):
            await self._carry_out(*refused(fresh, event, why, now_us))
        elif spec.overlap == "queue":
            await self._carry_out(*step(fresh, replace(event, kind=Kind.QUEUE, reason=f"waits: {why}"), now_us))
        else:
            rollout, actions = refused(fresh, event, why, now_us)
            if held is None:  # it is not known: its ledger is all that there is of it
                self.strangers[spec.id] = rollout.chain
            await self._carry_out(rollout, actions, keep=held is not None)

    async def verdict(self, value: bytes, offset: int, headers: Any) -> None:
        """A record of the verdict topic."""
        verdict, now_us = Verdict.decode(value), self.clock.now_us()
        VERDICT_AGE.set((now_us - verdict.issued_at) / 1e6)
        EVENT_TIME.set(verdict.event_time / 1e6)
        rollout = self.rollouts.get(verdict.experiment_id)
        fault = self.keys.fault("Verdict", value, of_headers(headers))
        if rollout is None:
            if verdict.action in ASKING:
                await self._refuse_stranger(verdict.experiment_id, verdict.action.lower(), verdict.verdict_id, ACTOR)
        elif fault is not None:
            await self._carry_out(*refuse_verdict(rollout, verdict, fault, value, now_us))
        else:
            await self._carry_out(*take_verdict(rollout, verdict, now_us, offset))

    async def probe(self, value: bytes, _: int, __: Any) -> None:
        """A record of the probes' topic."""
        result, now_us = ProbeResult.decode(value), self.clock.now_us()
        for rollout in list(self.rollouts.values()):
            after, actions = take_probe(rollout, result, now_us)
            if after is not rollout:
                await self._carry_out(after, actions)

    async def _refuse_stranger(self, experiment_id: str, kind: str, cause: str, actor: str) -> None:
        """What is said of an experiment that nobody has put in force is refused, in the ledger, too."""
        REFUSED.labels(kind).inc()
        if not ID.fullmatch(experiment_id) or (
            experiment_id not in self.strangers and len(self.strangers) >= STRANGERS_MAX
        ):
            log.warning("refused: there is no such experiment", experiment=experiment_id, kind=kind, cause=cause)
            return
        decision = Decision(
            decision_id(experiment_id, cause, f"{kind} REFUSED"), experiment_id, "", "", 0, self.clock.now_us(), kind,
            "REFUSED", actor, "refused: there is no such experiment", None, None, 0, "", "", None, {}, {"cause": cause},
            None, f"davy {__version__}",
        )  # fmt: skip
        chain, linked = self.strangers.get(experiment_id, Chain()).add(decision)
        self.strangers[experiment_id] = chain
        await self._record(linked)

    async def finish_planned(self) -> None:
        """What the ledger says was planned and not done is done now."""
        for rollout in list(self.rollouts.values()):
            if rollout.shift is not None:
                log.info("finishing a planned shift", experiment=rollout.spec.id, weights=dict(rollout.shift.weights))
                await self._carry_out(rollout, announce(rollout, self.clock.now_us()))

    async def again(self) -> None:
        """Shifts that protect and did not work are tried again, unless another process has taken over meanwhile; others, too,
        once everybody is there to be told."""
        for rollout in list(self.rollouts.values()):
            if rollout.shift is not None:
                if not await self.stands(rollout.spec.id, rollout.chain.head):
                    raise Superseded(rollout.shift.intent_id)
                waits = not protects(rollout.shift) and not overdue(rollout.shift, self.clock.now_us())
                if waits and await asyncio.to_thread(away, self._order(rollout, rollout.shift), self.targets):
                    continue
                await self._carry_out(rollout, [rollout.shift])
        await self.put_right()

    async def put_right(self) -> None:
        """Where a stray shift was made, set traffic to what the ledger says; what is planned comes anyway."""
        for name, stray in list(self.strayed.items()):
            rollout = self.rollouts.get(name)
            if rollout is not None and rollout.shift is None:
                log.warning(
                    "traffic was shifted while another process led", experiment=name, weights=dict(stray.weights)
                )
                rollout, actions, shift = put_right(rollout, stray, self.clock.now_us())
                await self._carry_out(rollout, actions)
                if (await self._shift(rollout, shift)).kind is Kind.SHIFT_FAILED:
                    continue
                await self._carry_out(rollout, [applied(rollout, shift, self.clock.now_us())])
            del self.strayed[name]

    def drifted(self) -> list[str]:
        """Experiments whose traffic is not split as the ledger says; may be called from a thread, and waits for targets."""
        orders = [order_of(rollout) for rollout in in_force(list(self.rollouts.values()), self.clock.now_us())]
        silent: set[str] = set()
        return [order.spec.id for order in orders if fault_of(order, self.targets, silent) is not None]

    async def restore(self, name: str) -> None:
        """Set the traffic of an experiment right, if it still is not; while another process leads that is its task."""
        rollout = next(
            (held for held in in_force(self.rollouts.values(), self.clock.now_us()) if held.spec.id == name), None
        )
        if rollout is None:
            return
        order = order_of(rollout)
        fault = await asyncio.to_thread(fault_of, order, self.targets, set())
        if fault is None or not await self.stands(name, rollout.chain.head):
            return
        log.warning("traffic is not as decided", experiment=name, fault=fault)
        trace = await asyncio.to_thread(self._executor(name).run, order)
        if trace.fault is None:
            await self._carry_out(*restored(rollout, fault, str(trace), self.clock.now_us()))

    async def begin_next(self) -> None:
        """Experiments that wait begin once nothing is in their way."""
        while (waiting := next_in_line(self.rollouts.values())) is not None:
            event = Event(
                Kind.APPLY, f"{waiting.spec.digest} {waiting.control_offset}", "its turn has come", spec=waiting.spec
            )
            await self._carry_out(*step(waiting, event, self.clock.now_us()))

    async def _carry_out(self, rollout: Rollout, actions: list[Action], keep: bool = True) -> None:
        if keep:
            self.rollouts[rollout.spec.id] = rollout
            self.strangers.pop(rollout.spec.id, None)
        for action in actions:
            match action:
                case Record(decision):
                    if decision.outcome == "REFUSED":
                        REFUSED.labels(decision.kind).inc()
                    await self._record(decision)
                case Tell(control):
                    await self.publish("control", control.experiment_id, control.encode(), {})
                case Shift():
                    event = await self._shift(rollout, action)
                    try:
                        await self._carry_out(*step(rollout, event, self.clock.now_us()))
                    except Superseded:
                        self.strayed[rollout.spec.id] = action
                        raise

    async def _record(self, decision: Decision) -> None:
        """One line of the ledger, signed where a key is configured."""
        log.info(
            "decision", experiment=decision.experiment_id, kind=decision.kind, outcome=decision.outcome,
            verdict=decision.verdict_id, reason=decision.reason,
        )  # fmt: skip
        value = decision.encode()
        headers = {HEADER: self.signer.sign("Decision", value)} if self.signer is not None else {}
        await self.publish("decisions", decision.experiment_id, value, headers)
        if decision.outcome != "REFUSED" and not await self.leads(decision):
            raise Superseded(decision.decision_id)
        DECISIONS.labels(decision.kind, decision.outcome).inc()

    async def _shift(self, rollout: Rollout, shift: Shift) -> Event:
        """Carry the shift out at every target and look whether it holds; what came of it."""
        trace = await asyncio.to_thread(self._executor(rollout.spec.id).run, self._order(rollout, shift))
        if trace.fault is None:
            return Event(Kind.SHIFTED, shift.intent_id, shift.plan.reason, trace=str(trace))
        return Event(
            Kind.SHIFT_FAILED,
            shift.intent_id,
            f"the weights could not be set: {trace.fault}",
            trace=str(trace),
            away=trace.away,
        )

    @staticmethod
    def _order(rollout: Rollout, shift: Shift) -> Order:
        before = rollout.weights or step_weights(rollout.spec, 0.0)
        return Order(
            shift.intent_id, rollout.spec, shift.weights, before, kind=shift.plan.kind, reason=shift.plan.reason,
            step=shift.step, protects=protects(shift),
        )  # fmt: skip

    def _executor(self, experiment: str) -> Executor:
        return Executor(self.targets, Journal(journal_path(self.config, experiment)), self.clock.now_us)


def journal_path(config: Config, experiment: str) -> Path:
    """Where the executor keeps the journal of an experiment."""
    return config.data_dir / "executor" / f"{experiment}.jsonl"
