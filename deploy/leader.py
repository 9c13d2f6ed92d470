"""Who leads: knows what the ledger says, and acts only while nobody else writes it.

Two rollout processes may run at a time (a standby, one that was thought dead). Each record names the one before it, and the
first that follows holds; a process that finds another's in the place of its own has not acted on it yet. It recalls what the
other did and takes the same message again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import structlog

from deploy.hands import Hands, Superseded
from deploy.ledger import Chain
from deploy.ledger_tail import LedgerTail
from deploy.rollout_state import Rollout, recalled
from schemas.codec import Malformed, UnknownSchema
from schemas.config import Config
from schemas.control import Control, SpecApplied
from schemas.errors import InfrastructureError
from schemas.located import Errors
from schemas.spec import ExperimentSpec, load_specs
from streams import kafka

TRIES = 5
"""How often a message is begun anew because another process wrote the ledger meanwhile."""

log = structlog.get_logger("rollout")
Work = Callable[[], Awaitable[None]]


class Leader:
    """Does one thing at a time, with the hands knowing what the ledger says."""

    def __init__(self, config: Config, hands: Hands) -> None:
        self.config, self.hands = config, hands
        self._lock = asyncio.Lock()
        self._tail: LedgerTail | None = None
        """Open while the hands know what the ledger says."""

    async def do(self, work: Work) -> None:
        """Do it; raises `InfrastructureError` where another process writes the ledger again and again."""
        async with self._lock:
            for _ in range(TRIES):
                try:
                    if self._tail is None:
                        await self._begin()
                    await work()
                    await self.hands.begin_next()
                    return
                except Superseded as superseded:
                    log.warning("another process wrote the ledger: recalling what it did", decision=str(superseded))
                    self._forget()
        raise InfrastructureError(
            "another rollout process writes the ledger all the time: run one for each prefix only"
        )

    async def _begin(self) -> None:
        """Recall, and finish what was planned."""
        self._tail = tail = LedgerTail(self.config)
        try:
            self.hands.leads = partial(asyncio.to_thread, tail.leads)
            self.hands.stands = partial(asyncio.to_thread, tail.stands)
            self.hands.rollouts, self.hands.strangers = await asyncio.to_thread(recall, self.config, tail)
            await self.hands.finish_planned()
            await self.hands.put_right()
        except BaseException:
            self._forget()
            raise

    def _forget(self) -> None:
        if self._tail is not None:
            self._tail.close()
            self._tail = None


def recall(config: Config, tail: LedgerTail) -> tuple[dict[str, Rollout], dict[str, Chain]]:
    """Every rollout as control and the ledger tell it, from their beginnings to now, and the ends of strangers' chains. Of
    the ledger only what holds: what a superseded process wrote does not."""
    rollouts: dict[str, Rollout] = {}
    strangers: dict[str, Chain] = {}
    specs: dict[str, ExperimentSpec] = {}
    latest: dict[str, ExperimentSpec] = {}
    for value in _everything(config, "control"):
        try:
            body = Control.decode(value).body
            found = load_specs(body.document, path=body.path) if isinstance(body, SpecApplied) else []
        except (Malformed, UnknownSchema, Errors) as error:
            log.warning("control record passed over", error=str(error))
            continue
        specs |= {spec.digest: spec for spec in found}
        latest |= {spec.id: spec for spec in found}  # an older version of Davy gave the same spec another digest
    for decision in tail.to_end():
        name = decision.experiment_id
        spec = specs.get(decision.config_digest or "") or (latest.get(name) if decision.config_digest else None)
        held = rollouts.get(name)
        if spec is None:
            if held is None:
                strangers[name] = strangers.get(name, Chain()).after(decision)
            continue
        if held is None:
            held = Rollout(spec, chain=strangers.pop(name, Chain()))
        elif held.spec.digest != spec.digest:
            held = Rollout(spec, fence=held.fence, chain=held.chain, control_offset=held.control_offset)
        rollouts[name] = recalled(held, decision)
    return rollouts, strangers


def _everything(config: Config, name: str) -> list[bytes]:
    """All values of a topic, up to its present end."""
    read = kafka.to_end(config, config.topic(name), "rollout-recall")
    return [value for message in read if (value := message.value()) is not None]
