"""The rollout role: a Faust application that carries out verdicts and persons' commands, one at a time.

At least once: Faust's offsets may repeat messages, and the embedded broker keeps none, so nothing rests on them. Before it
takes the first message the role recalls every rollout from the control topic and the ledger and finishes what was planned
and not done. Verdicts and commands that were taken before are recognised (`deploy.rollout`).
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import faust
import structlog
from faust.types import ProcessingGuarantee

from deploy import splitter
from deploy.rollout import (
    Action,
    Event,
    Kind,
    Record,
    Rollout,
    Shift,
    Tell,
    announce,
    recalled,
    step,
    take_command,
    take_verdict,
)
from schemas.codec import Malformed, UnknownSchema
from schemas.config import Config
from schemas.control import Command, Control, SpecApplied
from schemas.decision import Decision
from schemas.located import Errors
from schemas.spec import ExperimentSpec, load_specs
from schemas.verdict import Verdict
from streams import kafka
from streams.clock import Clock
from streams.topics import ensure_topics

SESSION_TIMEOUT_S = 6.0
COMMIT_EVERY_S = 1.0
STOP_POLL_S = 0.1
SHIFT_TRIES = 3
SHIFT_RETRY_S = 0.2
WEIGHT_TOLERANCE = 1.0 / splitter.SHARES

log = structlog.get_logger("rollout")
Publish = Callable[[str, str, bytes], Awaitable[None]]
"""Topic name, key, value; returns once the broker has it."""


class Hands:
    """All rollouts and the traffic target: what the agents call, message by message."""

    def __init__(self, config: Config, publish: Publish) -> None:
        self.config = config
        self.publish = publish
        self.clock = Clock.of(config)
        self.rollouts: dict[str, Rollout] = {}

    async def control(self, value: bytes, offset: int) -> None:
        """A record of the control topic; the role's own come back here and mean nothing to it."""
        control = Control.decode(value)
        held = self.rollouts.get(control.experiment_id)
        if held is not None and offset <= held.control_offset:
            return
        now_us = self.clock.now_us()
        if isinstance(control.body, SpecApplied):
            (spec,) = load_specs(control.body.document, path=control.body.path)
            event = Event(Kind.APPLY, spec.digest, control.reason, control.actor, spec=spec)
            await self._carry_out(*step(replace(held or Rollout(spec), control_offset=offset), event, now_us))
        elif isinstance(control.body, Command):
            if held is None:
                log.warning("command for an unknown experiment", experiment=control.experiment_id)
                return
            taken = replace(held, control_offset=offset)
            await self._carry_out(*take_command(taken, control.body, control.actor, control.reason, now_us))

    async def verdict(self, value: bytes, _: int) -> None:
        """A record of the verdict topic."""
        verdict = Verdict.decode(value)
        rollout = self.rollouts.get(verdict.experiment_id)
        if rollout is None:
            log.warning(
                "verdict for an unknown experiment", experiment=verdict.experiment_id, verdict=verdict.verdict_id
            )
            return
        await self._carry_out(*take_verdict(rollout, verdict, self.clock.now_us()))

    async def finish_planned(self) -> None:
        """What the ledger says was planned and not done is done now."""
        for rollout in list(self.rollouts.values()):
            if rollout.shift is not None:
                log.info("finishing a planned shift", experiment=rollout.spec.id, weights=dict(rollout.shift.weights))
                await self._carry_out(rollout, announce(rollout, self.clock.now_us()))

    async def _carry_out(self, rollout: Rollout, actions: list[Action]) -> None:
        self.rollouts[rollout.spec.id] = rollout
        for action in actions:
            match action:
                case Record(decision):
                    log.info(
                        "decision", experiment=decision.experiment_id, kind=decision.kind, outcome=decision.outcome,
                        verdict=decision.verdict_id, reason=decision.reason,
                    )  # fmt: skip
                    await self.publish("decisions", decision.experiment_id, decision.encode())
                case Tell(control):
                    await self.publish("control", control.experiment_id, control.encode())
                case Shift():
                    failure = await self._shift(rollout.spec, action)
                    kind = Kind.SHIFT_FAILED if failure else Kind.SHIFTED
                    event = Event(kind, action.intent_id, failure or action.plan.reason)
                    await self._carry_out(*step(rollout, event, self.clock.now_us()))

    async def _shift(self, spec: ExperimentSpec, shift: Shift) -> str | None:
        """Set the weights and read them back; the reason where that did not work."""
        folder = self.config.traffic / spec.id
        failure = "nothing was tried"
        for _ in range(SHIFT_TRIES):
            try:
                splitter.write(folder, splitter.render(spec, shift.weights))
                found = splitter.read_back(folder)
            except (OSError, ValueError, KeyError) as error:
                failure = f"the weights could not be set in {folder}: {error}"
                await asyncio.sleep(SHIFT_RETRY_S)
                continue
            off = [
                name for name, weight in shift.weights.items() if abs(found.get(name, 0.0) - weight) > WEIGHT_TOLERANCE
            ]
            if not off:
                return None
            failure = f"{folder} was read back with other weights for {', '.join(off)}"
        return failure


def recall(config: Config) -> dict[str, Rollout]:
    """Every rollout as control and the ledger tell it, from their beginnings to now."""
    rollouts: dict[str, Rollout] = {}
    specs: dict[str, ExperimentSpec] = {}
    for value in _everything(config, "control"):
        try:
            body = Control.decode(value).body
            found = load_specs(body.document, path=body.path) if isinstance(body, SpecApplied) else []
        except (Malformed, UnknownSchema, Errors) as error:
            log.warning("control record passed over", error=str(error))
            continue
        specs |= {spec.digest: spec for spec in found}
    for value in _everything(config, "decisions"):
        decision = Decision.decode(value)
        spec = specs.get(decision.config_digest or "")
        if spec is None:
            continue
        rollout = rollouts.get(spec.id)
        if rollout is None or rollout.spec.digest != spec.digest:
            rollout = Rollout(spec)
        rollouts[spec.id] = recalled(rollout, decision)
    return rollouts


def _everything(config: Config, name: str) -> list[bytes]:
    """All values of a topic, up to its present end."""
    read = kafka.to_end(config, config.topic(name), "rollout-recall")
    return [value for message in read if (value := message.value()) is not None]


def broker_settings(settings: Mapping[str, str]) -> dict[str, Any]:
    """librdkafka's names as Faust's: addresses, and SASL or TLS where they are set."""
    servers = settings.get("bootstrap.servers", "").split(",")
    faust_settings: dict[str, Any] = {"broker": [f"kafka://{server.strip()}" for server in servers]}
    protocol = settings.get("security.protocol", "PLAINTEXT").upper()
    if "SSL" not in protocol and "SASL" not in protocol:
        return faust_settings
    import ssl

    from faust.auth import SASLCredentials, SSLCredentials

    context = ssl.create_default_context(cafile=settings.get("ssl.ca.location"))
    if "ssl.certificate.location" in settings:
        context.load_cert_chain(settings["ssl.certificate.location"], settings.get("ssl.key.location"))
    if "SASL" in protocol:
        faust_settings["broker_credentials"] = SASLCredentials(
            username=settings.get("sasl.username"), password=settings.get("sasl.password"),
            mechanism=settings.get("sasl.mechanism", settings.get("sasl.mechanisms", "PLAIN")),
            ssl_context=context if "SSL" in protocol else None,
        )  # fmt: skip
    else:
        faust_settings["broker_credentials"] = SSLCredentials(context=context)
    return faust_settings


def application(config: Config) -> tuple[Any, Hands]:
    """The Faust application and what its agents call."""
    folder = Path(config.data_dir) / "faust"
    folder.mkdir(parents=True, exist_ok=True)
    app: Any = faust.App(
        f"{config.prefix}rollout", store="memory://", topic_disable_leader=True, web_enabled=False,
        datadir=folder, value_serializer="raw", key_serializer="raw",
        topic_replication_factor=config.limits.replication, topic_allow_declare=False,
        broker_session_timeout=SESSION_TIMEOUT_S, broker_heartbeat_interval=SESSION_TIMEOUT_S / 3,
        broker_commit_interval=COMMIT_EVERY_S, consumer_auto_offset_reset="earliest", producer_acks=-1,
        stream_wait_empty=False, processing_guarantee=ProcessingGuarantee.AT_LEAST_ONCE, **broker_settings(config.kafka),
    )  # fmt: skip
    topics = {name: _raw(app, config.topic(name)) for name in ("control", "verdicts", "decisions")}

    async def publish(topic: str, key: str, value: bytes) -> None:
        await (await topics[topic].send(key=key.encode(), value=value))

    hands = Hands(config, publish)
    lock = asyncio.Lock()
    begun = asyncio.Event()

    async def begin() -> None:
        if not begun.is_set():
            hands.rollouts = await asyncio.to_thread(recall, config)
            await hands.finish_planned()
            begun.set()

    async def at_start() -> None:
        """What was planned is finished even if no message ever comes."""
        async with lock:
            await begin()

    async def take(handle: Callable[[bytes, int], Awaitable[None]], message: Any) -> None:
        async with lock:
            await begin()
            try:
                await handle(message.value, message.offset)
            except (Malformed, UnknownSchema, Errors) as error:
                log.error("record refused", error=str(error))

    async def control(stream: Any) -> None:
        async for event in stream.events():
            await take(hands.control, event.message)

    async def verdicts(stream: Any) -> None:
        async for event in stream.events():
            await take(hands.verdict, event.message)

    app.task(at_start)
    app.agent(topics["control"], concurrency=1, name="control")(control)
    app.agent(topics["verdicts"], concurrency=1, name="verdicts")(verdicts)
    return app, hands


def _raw(app: Any, name: str) -> Any:
    return app.topic(name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")


def run(config: Config, stop: threading.Event) -> None:
    """The rollout role: blocks until stopped."""
    kafka.require_broker(config)
    ensure_topics(config)
    logging.getLogger("faust").setLevel(logging.WARNING)
    asyncio.run(_serve(config, stop))


async def _serve(config: Config, stop: threading.Event) -> None:
    app, _ = application(config)
    await cast("Awaitable[None]", app.start())
    try:
        while not stop.is_set() and not app.should_stop:
            await asyncio.sleep(STOP_POLL_S)
    finally:
        await app.stop()
    if app.crashed and app.crash_reason is not None:
        raise app.crash_reason
