"""What the console's routes share: the configuration, what is known, and how to write to Davy."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import HTTPException
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from davy.web import answers
from davy.web.access import Access, Caller
from davy.web.events import BEAT_S, Events
from davy.web.feed import Feed
from davy.web.state import Experiment
from davy.writer import Writer
from schemas.access import Scope
from schemas.config import Config
from schemas.control import Control
from schemas.errors import InfrastructureError
from schemas.flag import FlagChange
from streams.clock import Clock

TEXT_MAX = 1_000
Text = Annotated[str, Field(min_length=1, max_length=TEXT_MAX)]


class Strict(BaseModel):
    """Bodies that people and programs of ours send: unknown fields are errors."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Console:
    """What the routes share."""

    config: Config
    feed: Feed
    events: Events
    clock: Clock
    access: Access
    writer: Writer

    def known(self, experiment_id: str) -> Experiment:
        """The experiment; the feed's lock is held. 404 where there is none."""
        experiment = self.feed.state.experiments.get(experiment_id)
        if experiment is None:
            raise HTTPException(404, f"there is no experiment {experiment_id!r}; GET /v1/experiments lists them")
        return experiment

    def service_of(self, experiment_id: str, default: str) -> str:
        """Of an experiment that is in force; the default where there is none."""
        with self.feed.lock:
            experiment = self.feed.state.experiments.get(experiment_id)
            return default if experiment is None else experiment.spec.service

    async def changes(self) -> AsyncIterator[str]:
        """What changed of the list of experiments, once a second at most; a comment where nothing did."""
        seen = -1
        yield "retry: 2000\n\n"
        while not self.events.stop.is_set():
            with self.feed.lock:
                newest, now_us = self.feed.state.revision, self.clock.now_us()
                found = [answers.summary(experiment, now_us) for experiment in self.feed.state.since(seen)]
            if found or seen < 0:
                yield f"event: experiments\ndata: {json.dumps(found, allow_nan=False)}\n\n"
            else:
                yield ": still here\n\n"
            seen = newest
            await asyncio.sleep(BEAT_S)

    def seen(self, experiment: Experiment, command_id: str | None) -> None:
        """409 where a person asked for something else since, that whoever asks now has not seen.

        `command_id` is of the last command that they saw, "" where they saw none, None where they do not care.
        """
        last = experiment.command
        if last is None or command_id is None:
            return
        asked = answers.asked(last)
        if asked["command_id"] != command_id:
            raise HTTPException(
                409,
                f"{asked['actor']} asked for {asked['command']} at {asked['time'][11:19]} UTC ({asked['reason']}), "
                "before you: nothing was sent; look again",
            )

    async def allowed(self, authorization: str | None, scope: Scope) -> Caller:
        """Who asks for what changes something; 401 or 403 where they may not."""
        return await run_in_threadpool(self.access.caller, authorization, scope)

    async def send(self, *records: Control | FlagChange) -> None:
        """Write records; 503 where the broker does not take them."""
        try:
            await run_in_threadpool(self.writer.send, records)
        except InfrastructureError as error:
            raise HTTPException(503, str(error)) from error
