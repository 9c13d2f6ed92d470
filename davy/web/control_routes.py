"""Routes by which people and programs steer: specs, commands, annotations. All of them need a token where one is set."""

# pyright: reportUnusedFunction=false
# Routes are used by their decorators.

from __future__ import annotations

import uuid
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Header, HTTPException, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import ConfigDict, Field

from davy.commands import apply
from davy.web.access import NOBODY
from davy.web.answers import Json
from davy.web.console import TEXT_MAX, Console, Strict, Text
from davy.web.events import ANNOTATION_KEY
from schemas.codec import micros
from schemas.control import Annotation, Command, Control
from schemas.located import Errors
from schemas.spec import load_specs

TAGS_MAX = 20
SPEC_EXAMPLE = """\
apiVersion: davy/v1
kind: Experiment
id: checkout-2.4.0
service: checkout
environment: production
variants: {control: {version: 2.3.1}, canary: {version: 2.4.0}}
slis:
  - {name: errors, type: error_ratio, max_increase: 0.5pp}
steps:
  - {weight: 10%, duration: 10m}
"""

Actor = Annotated[str, Query(min_length=1, max_length=TEXT_MAX)]
Reason = Actor


class CommandBody(Strict):
    """What a person asks for."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"command": "pause", "reason": "the database is slow", "actor": "jo"}]}
    )

    command: Literal["approve", "pause", "resume", "promote", "abort", "rollback"]
    reason: Text
    actor: Text
    variant: str | None = None
    after: Annotated[str, Field(max_length=TEXT_MAX)] | None = None
    """Of the last command that this person saw, "" for none: 409 where another came since."""


class AnnotationBody(Strict):
    """A deploy, a change of configuration."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"time": "2026-11-25T12:00:00Z", "text": "database migrated", "tags": ["database"]}]
        }
    )

    time: str | None = None
    text: Text
    tags: Annotated[tuple[Text, ...], Field(max_length=TAGS_MAX)] = ()


def yaml_body(example: str) -> dict[str, Any]:
    """How OpenAPI says that a route takes YAML."""
    return {
        "requestBody": {
            "required": True,
            "content": {"application/yaml": {"schema": {"type": "string"}, "example": example}},
        }
    }


def routes(app: FastAPI, console: Console) -> None:
    """Add them to the application."""

    @app.post("/v1/experiments", status_code=202, openapi_extra=yaml_body(SPEC_EXAMPLE))
    async def put_in_force(
        request: Request, actor: Actor = NOBODY, reason: Reason = "applied",
        authorization: Annotated[str | None, Header()] = None,
    ) -> Response:  # fmt: skip
        """Specs as YAML, one or more documents: all of them or none."""
        caller = await console.allowed(authorization, "spec")
        try:
            document = (await request.body()).decode("utf-8")
            specs = load_specs(document, path="request")
        except UnicodeDecodeError:
            raise HTTPException(400, "the body is not UTF-8 text: send the spec as YAML") from None
        except Errors as errors:
            found = [str(finding) for finding in errors.findings]
            return JSONResponse({"error": found[0], "findings": found}, 400)
        for spec in specs:
            caller.only(spec.service)
            caller.only(console.service_of(spec.id, spec.service))
        now_us = console.clock.now_us()
        await console.send(*(apply.applied(spec, now_us, caller.actor(actor), reason) for spec in specs))
        return JSONResponse({"accepted": True, "experiments": [spec.id for spec in specs]}, 202)

    @app.post("/v1/experiments/{experiment_id}/commands", responses={409: {"description": "Another came first."}})
    async def command(
        experiment_id: str, body: CommandBody, authorization: Annotated[str | None, Header()] = None
    ) -> Json:
        """A person's command: it lands in the ledger with who, when and why, and the rollout obeys it."""
        caller = await console.allowed(authorization, "command")
        with console.feed.lock:
            known = console.known(experiment_id)
            caller.only(known.spec.service)
            if body.variant is not None and body.variant not in known.spec.candidates:
                raise HTTPException(400, f"{experiment_id} has no candidate {body.variant!r}")
            console.seen(known, body.after)
            command_id = str(uuid.uuid4())
            what = Command(command_id, body.command, body.variant)
            record = Control(experiment_id, console.clock.now_us(), caller.actor(body.actor), body.reason, what)
            before, known.command = known.command, record  # the next person is told, before it is read back
        try:
            await console.send(record)
        except HTTPException:
            with console.feed.lock:
                if known.command is record:
                    known.command = before
            raise
        return {"command_id": command_id, "accepted": True}

    @app.post("/v1/annotations")
    async def annotate(body: AnnotationBody, authorization: Annotated[str | None, Header()] = None) -> Json:
        """A note shown on every chart, at its time or now."""
        caller = await console.allowed(authorization, "annotation")
        caller.only(None)
        try:
            time_us = console.clock.now_us() if body.time is None else micros(body.time)
        except ValueError as error:
            raise HTTPException(400, f"time: {error}") from error
        note = Annotation(body.text, body.tags)
        await console.send(Control(ANNOTATION_KEY, time_us, caller.actor(NOBODY), "annotation", note))
        return {"accepted": True}
