"""Routes of feature flags: all of them as flagd's evaluators read them, and how people change them.

`GET /v1/flags?wait=25` with `If-None-Match` answers as soon as anything changed, so that clients have it at once. Flags of
experiments are among them, with the weights that were last applied; nobody but the rollout changes those.
"""

# pyright: reportUnusedFunction=false
# Routes are used by their decorators.

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from typing import Annotated, Any

from fastapi import FastAPI, Header, HTTPException, Query, Request
from fastapi.responses import JSONResponse, Response

from davy.web.access import NOBODY
from davy.web.answers import Json
from davy.web.console import Console
from davy.web.control_routes import Actor, Reason, yaml_body
from davy.web.events import ANNOTATION_KEY
from davy.web.state import Experiment, State
from deploy import splitter
from schemas.control import Annotation, Control
from schemas.flag import EXAMPLE, FlagChange, flags_document, load_flag
from schemas.located import Errors

WAIT_MAX_S = 30.0
WAITING_MAX = 500
"""Of more at a time, each gets its answer at once."""
POLL_S = 0.1
TAKEN: dict[int | str, dict[str, Any]] = {409: {"description": "It is an experiment's: only its rollout changes it."}}


class Flags:
    """What is told of all flags; made anew only when something changed. The feed's lock is held."""

    def __init__(self) -> None:
        self._seen = -1
        self._body, self._tag = b"", ""

    def told(self, state: State) -> tuple[bytes, str]:
        """The document and its entity tag."""
        if state.flags_changes != self._seen:
            self._body = json.dumps(document(state), separators=(",", ":"), allow_nan=False).encode()
            self._tag = f'"{hashlib.sha256(self._body).hexdigest()[:32]}"'
            self._seen = state.flags_changes
        return self._body, self._tag


def document(state: State) -> dict[str, Any]:
    """All flags; an experiment's has the weights that were last applied, none before the first."""
    flags = {key: flag.flagd() for key, flag in state.flags.items()}
    return flags_document(flags | {key: _of_experiment(one) for key, one in state.experiments.items()})


def _of_experiment(experiment: Experiment) -> Any:
    spec = experiment.spec
    text = splitter.render(spec, experiment.weights or splitter.step_weights(spec, 0.0))[splitter.FLAGD]
    return json.loads(text)["flags"][spec.id]


def routes(app: FastAPI, console: Console) -> None:
    """Add them to the application."""
    flags = Flags()
    waiting = 0

    def told() -> tuple[bytes, str]:
        with console.feed.lock:
            return flags.told(console.feed.state)

    @app.get("/v1/flags")
    async def get_flags(
        wait: Annotated[float, Query(ge=0, le=WAIT_MAX_S)] = 0.0, if_none_match: Annotated[str | None, Header()] = None
    ) -> Response:
        """All flags, and one for each experiment, as flagd's evaluators read them; with `wait` as soon as anything changed."""
        nonlocal waiting
        if not console.feed.caught_up:
            raise HTTPException(503, "the console still reads what was: what you have is newer, ask again in a second")
        deadline = time.monotonic() + (wait if waiting < WAITING_MAX else 0.0)
        waiting += 1
        try:
            body, tag = told()
            while tag == if_none_match and time.monotonic() < deadline:
                await asyncio.sleep(POLL_S)
                body, tag = told()
        finally:
            waiting -= 1
        if tag == if_none_match:
            return Response(status_code=304, headers={"ETag": tag})
        return Response(body, media_type="application/json", headers={"ETag": tag})

    @app.put("/v1/flags/{key}", status_code=202, openapi_extra=yaml_body(EXAMPLE), responses=TAKEN)
    async def put_flag(
        key: str, request: Request, actor: Actor = NOBODY, reason: Reason = "set",
        authorization: Annotated[str | None, Header()] = None,
    ) -> Response:  # fmt: skip
        """A flag as YAML or JSON."""
        caller = await console.allowed(authorization, "flag")
        caller.only(None)
        actor = caller.actor(actor)
        _not_of_experiment(console, key)
        try:
            text = (await request.body()).decode("utf-8")
            flag = load_flag(text, "request")
        except UnicodeDecodeError:
            raise HTTPException(400, "the body is not UTF-8 text: send the flag as YAML") from None
        except Errors as errors:
            found = [str(finding) for finding in errors.findings]
            return JSONResponse({"error": found[0], "findings": found}, 400)
        if flag.key != key:
            raise HTTPException(400, f"the flag in the body is {flag.key!r}, the address says {key!r}")
        now_us = console.clock.now_us()
        await console.send(FlagChange(key, now_us, actor, reason, text), _note(key, now_us, actor, "set"))
        return JSONResponse({"accepted": True, "key": key}, 202)

    @app.delete("/v1/flags/{key}", responses=TAKEN)
    async def delete_flag(
        key: str,
        actor: Actor = NOBODY,
        reason: Reason = "removed",
        authorization: Annotated[str | None, Header()] = None,
    ) -> Json:
        """Remove a flag: whoever asks gets the default of their own code."""
        caller = await console.allowed(authorization, "flag")
        caller.only(None)
        actor = caller.actor(actor)
        _not_of_experiment(console, key)
        with console.feed.lock:
            if key not in console.feed.state.flags:
                raise HTTPException(404, f"there is no flag {key!r}; GET /v1/flags has them")
        now_us = console.clock.now_us()
        await console.send(FlagChange(key, now_us, actor, reason, None), _note(key, now_us, actor, "removed"))
        return {"accepted": True, "key": key}


def _note(key: str, now_us: int, actor: str, done: str) -> Control:
    """On every chart, and for the judge, who links it to changes near it."""
    return Control(ANNOTATION_KEY, now_us, actor, "annotation", Annotation(f"flag {key} was {done}", ("flag",)))


def _not_of_experiment(console: Console, key: str) -> None:
    with console.feed.lock:
        if key in console.feed.state.experiments:
            raise HTTPException(409, f"{key!r} is an experiment: its weights are the rollout's alone")
