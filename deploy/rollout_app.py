"""The rollout role: a Faust application that carries out verdicts and persons' commands, one at a time.

At least once: Faust's offsets may repeat messages, and the embedded broker keeps none, so nothing rests on them. Before it
takes the first message the role recalls every rollout from the control topic and the ledger and finishes what was planned and
not done (`deploy.leader`). Verdicts and commands that were taken before are recognised (`deploy.reception`).
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import faust
import structlog
from faust.types import ProcessingGuarantee

from deploy.hands import Hands
from deploy.leader import Leader
from deploy.notifier import LedgerNotifier
from deploy.notify import notifiers
from deploy.spec_folder import EVERY_S as SPECS_EVERY_S
from deploy.spec_folder import SpecFolder
from schemas.codec import Malformed, UnknownSchema
from schemas.config import Config
from schemas.control import Control, SpecApplied
from schemas.located import Errors
from streams import kafka
from streams.standing import HERE
from streams.topics import ensure_topics

SESSION_TIMEOUT_S = 6.0
COMMIT_EVERY_S = 1.0
STOP_POLL_S = 0.1
AGAIN_EVERY_S = 5.0
DRIFT_EVERY_S = 10.0
"""How long a proxy that began anew may split traffic as its own file says, and a little more."""

log = structlog.get_logger("rollout")


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
    topics = {name: _raw(app, config.topic(name)) for name in ("control", "verdicts", "decisions", "probes")}

    async def publish(topic: str, key: str, value: bytes, headers: Mapping[str, bytes]) -> None:
        await (await topics[topic].send(key=key.encode(), value=value, headers=headers))

    hands = Hands(config, publish)
    leader = Leader(config, hands)

    async def take(handle: Callable[[bytes, int, Any], Awaitable[None]], message: Any) -> None:
        try:
            await leader.do(lambda: handle(message.value, message.offset, message.headers))
        except (Malformed, UnknownSchema, Errors) as error:
            log.error("record refused", error=str(error))

    async def control(stream: Any) -> None:
        async for event in stream.events():
            await take(hands.control, event.message)

    async def verdicts(stream: Any) -> None:
        async for event in stream.events():
            await take(hands.verdict, event.message)

    async def again() -> None:
        """At the start what was planned is finished even if no message comes; then what did not work is tried again."""
        await leader.do(hands.again)

    async def set_right() -> None:
        """Traffic that is not split any more as was decided."""
        for name in await asyncio.to_thread(hands.drifted):
            await leader.do(partial(hands.restore, name))

    folder_of_specs = SpecFolder(config.specs) if config.specs is not None else None

    async def look() -> None:
        """Apply what changed in the folder of specs."""
        if folder_of_specs is None:
            return
        in_force = {name: rollout.spec.digest for name, rollout in hands.rollouts.items()}
        specs, wrong = await asyncio.to_thread(folder_of_specs.changed, in_force)
        if wrong is not None:
            log.error(
                "nothing of the folder of specs is applied until it is mended", folder=str(config.specs), error=wrong
            )
        for spec in specs:
            log.info("applying", experiment=spec.id, path=spec.path)
            body = SpecApplied(spec.source, spec.path, spec.digest)
            record = Control(spec.id, hands.clock.now_us(), "specs folder", f"{spec.path} changed", body)
            await publish("control", spec.id, record.encode(), {})

    async def watch() -> None:
        await leader.do(look)

    async def probes(stream: Any) -> None:
        async for event in stream.events():
            await take(hands.probe, event.message)

    app.task(again)
    app.timer(SPECS_EVERY_S)(watch)
    app.timer(AGAIN_EVERY_S)(again)
    app.timer(DRIFT_EVERY_S)(set_right)
    app.agent(topics["control"], concurrency=1, name="control")(control)
    app.agent(topics["verdicts"], concurrency=1, name="verdicts")(verdicts)
    app.agent(topics["probes"], concurrency=1, name="probes")(probes)
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
    app, hands = application(config)
    halt = threading.Event()
    for notifier in notifiers(config):
        LedgerNotifier(config, notifier, hands.clock.now_us, halt).start()
    await cast("Awaitable[None]", app.start())
    try:
        while not stop.is_set() and not app.should_stop:
            HERE.beat(time.monotonic())
            await asyncio.sleep(STOP_POLL_S)
    finally:
        halt.set()
        await app.stop()
    if app.crashed and app.crash_reason is not None:
        raise app.crash_reason
