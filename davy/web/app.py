"""The console's routes. What they say is in `answers`; what they know is the feed's state."""

# pyright: reportUnusedFunction=false
# Routes are used by their decorators.

from __future__ import annotations

import hmac
import uuid
from dataclasses import dataclass
from importlib import resources
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Header, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.middleware.base import RequestResponseEndpoint

from davy.commands import apply
from davy.web import answers
from davy.web.answers import PAGE_DEFAULT, PAGE_MAX, Json
from davy.web.events import Events
from davy.web.feed import Feed
from davy.web.state import Experiment
from schemas.codec import micros
from schemas.config import Config
from schemas.control import Annotation, Command, Control
from schemas.errors import InfrastructureError
from streams.clock import Clock

BODY_BYTES_MAX = 64 * 1024
TEXT_MAX = 1_000
TAGS_MAX = 20
ANNOTATION_KEY = "annotations"
"""Experiment id of control records that belong to none."""
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
PAGE_FILES = {"index.html": "text/html", "app.js": "text/javascript", "chart.js": "text/javascript", "style.css": "text/css",
              "lamp.svg": "image/svg+xml"}  # fmt: skip

Text = Annotated[str, Field(min_length=1, max_length=TEXT_MAX)]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]
Cursor = Annotated[int, Query(ge=0)]


class Strict(BaseModel):
    """Bodies that people and programs of ours send: unknown fields are errors."""

    model_config = ConfigDict(extra="forbid")


class CommandBody(Strict):
    """What a person asks for."""

    command: Literal["approve", "pause", "resume", "promote", "abort", "rollback"]
    reason: Text
    actor: Text
    variant: str | None = None


class AnnotationBody(Strict):
    """A deploy, a change of configuration."""

    time: str | None = None
    text: Text
    tags: Annotated[list[Text], Field(max_length=TAGS_MAX)] = []


class HookBody(BaseModel):
    """Flagger's: more fields may come with its versions."""

    name: Text
    namespace: str = ""
    phase: str = ""
    metadata: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Console:
    """What the routes share."""

    config: Config
    feed: Feed
    events: Events
    clock: Clock

    def known(self, experiment_id: str) -> Experiment:
        """The experiment; the feed's lock is held. 404 where there is none."""
        experiment = self.feed.state.experiments.get(experiment_id)
        if experiment is None:
            raise HTTPException(404, f"there is no experiment {experiment_id!r}; GET /v1/experiments lists them")
        return experiment

    def allowed(self, authorization: str | None) -> None:
        """401 unless the token came, where one is configured."""
        token = self.config.http.token
        if token is None:
            return
        given = (authorization or "").removeprefix("Bearer ").encode()
        if not hmac.compare_digest(given, token.get_secret_value().encode()):
            raise HTTPException(401, "this needs the token: send it as Authorization: Bearer TOKEN")

    async def send(self, record: Control) -> None:
        """Write a control record; 503 where the broker does not take it."""
        try:
            await run_in_threadpool(apply.send, self.config, [record])
        except InfrastructureError as error:
            raise HTTPException(503, str(error)) from error


def make(config: Config, feed: Feed, events: Events) -> FastAPI:
    """The application over a feed that someone else runs."""
    app = FastAPI(title="Davy", docs_url=None, redoc_url=None, openapi_url="/v1/openapi.json")
    console = Console(config, feed, events, Clock.of(config))
    _guards(app)
    for routes in (_service, _records, _hooks, _commands, _page):
        routes(app, console)
    return app


def _guards(app: FastAPI) -> None:
    @app.middleware("http")
    async def guard(request: Request, call_next: RequestResponseEndpoint) -> Response:
        fault = _refused(request)
        response = await call_next(request) if fault is None else fault
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    @app.exception_handler(AnyHTTPException)
    async def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, AnyHTTPException)
        return JSONResponse({"error": error.detail}, error.status_code)

    @app.exception_handler(RequestValidationError)
    async def explain(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        found: Any = error.errors()[0]
        place = ".".join(str(part) for part in found["loc"] if part != "body")
        return JSONResponse({"error": f"{place or 'body'}: {found['msg']}"}, 400)


def _service(app: FastAPI, console: Console) -> None:
    @app.get("/healthz")
    async def healthz() -> Json:
        return {"ok": True}

    @app.get("/readyz")
    async def readyz() -> Response:
        fault, faults = console.feed.fault(), console.feed.faults()
        roles = {role: {"ready": reason is None, "reason": reason} for role, reason in faults.items()}
        body = {"ready": fault is None, "reason": fault, "roles": roles}
        return JSONResponse(body, 200 if fault is None else 503)

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)

    @app.get("/v1/stream")
    async def stream() -> Response:
        if console.events.full:
            raise HTTPException(503, "too many listeners: close one of the pages that watch")
        return StreamingResponse(
            console.events.listen(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
        )


def _records(app: FastAPI, console: Console) -> None:
    @app.get("/v1/experiments")
    def experiments(limit: Limit = PAGE_DEFAULT, cursor: Cursor = 0) -> Json:
        with console.feed.lock:
            return answers.paged(answers.experiments(console.feed.state, console.clock.now_us()), limit, cursor)

    @app.get("/v1/experiments/{experiment_id}")
    def experiment(experiment_id: str) -> Json:
        with console.feed.lock:
            return answers.detail(console.known(experiment_id), console.clock.now_us())

    @app.get("/v1/experiments/{experiment_id}/verdicts")
    def verdicts(experiment_id: str, limit: Limit = PAGE_DEFAULT, cursor: Cursor = 0) -> Json:
        with console.feed.lock:
            console.known(experiment_id)
            return answers.paged(reversed(console.feed.state.verdicts.of(experiment_id)), limit, cursor)

    @app.get("/v1/experiments/{experiment_id}/windows")
    def windows(experiment_id: str, limit: Limit = PAGE_DEFAULT, cursor: Cursor = 0) -> Json:
        with console.feed.lock:
            console.known(experiment_id)
            return answers.paged(reversed(console.feed.state.windows.of(experiment_id)), limit, cursor)

    @app.get("/v1/decisions")
    def decisions(experiment: str | None = None, limit: Limit = PAGE_DEFAULT, cursor: Cursor = 0) -> Json:
        with console.feed.lock:
            names = list(console.feed.state.experiments) if experiment is None else [experiment]
            found = [decision for name in names for decision in console.feed.state.decisions.of(name)]
        found.sort(key=lambda decision: (decision.time, decision.sequence), reverse=True)
        return answers.paged(found, limit, cursor)

    @app.get("/v1/annotations")
    def annotations() -> Json:
        with console.feed.lock:
            return {"items": [record.to_json() for record in console.feed.state.annotations], "next": None}


def _hooks(app: FastAPI, console: Console) -> None:
    @app.get("/v1/argo/{experiment_id}")
    def argo(experiment_id: str, variant: str | None = None) -> Json:
        with console.feed.lock:
            found = console.known(experiment_id)
            if variant is not None and variant not in found.spec.candidates:
                raise HTTPException(404, f"{experiment_id} has no candidate {variant!r}")
            held = found.current()
            return answers.argo(
                held if variant is None else {name: v for name, v in held.items() if name == variant},
                console.clock.now_us(),
            )

    @app.post("/v1/flagger/{hook}")
    def flagger(hook: str, body: HookBody) -> Response:
        if hook not in answers.HOOKS:
            raise HTTPException(404, f"there is no hook {hook!r}; there are {', '.join(answers.HOOKS)}")
        name = (body.metadata or {}).get("experiment") or body.name
        if hook == "event":
            return PlainTextResponse("noted")
        with console.feed.lock:
            fault = answers.flagger(hook, console.known(name), console.clock.now_us())
        return PlainTextResponse("ok") if fault is None else PlainTextResponse(fault, 409)


def _commands(app: FastAPI, console: Console) -> None:
    @app.post("/v1/experiments/{experiment_id}/commands")
    async def command(
        experiment_id: str, body: CommandBody, authorization: Annotated[str | None, Header()] = None
    ) -> Json:
        console.allowed(authorization)
        with console.feed.lock:
            candidates = console.known(experiment_id).spec.candidates
        if body.variant is not None and body.variant not in candidates:
            raise HTTPException(400, f"{experiment_id} has no candidate {body.variant!r}")
        command_id = str(uuid.uuid4())
        what = Command(command_id, body.command, body.variant)
        await console.send(Control(experiment_id, console.clock.now_us(), body.actor, body.reason, what))
        return {"command_id": command_id, "accepted": True}

    @app.post("/v1/annotations")
    async def annotate(body: AnnotationBody, authorization: Annotated[str | None, Header()] = None) -> Json:
        console.allowed(authorization)
        try:
            time_us = console.clock.now_us() if body.time is None else micros(body.time)
        except ValueError as error:
            raise HTTPException(400, f"time: {error}") from error
        await console.send(
            Control(ANNOTATION_KEY, time_us, "http", "annotation", Annotation(body.text, tuple(body.tags)))
        )
        return {"accepted": True}


def _page(app: FastAPI, console: Console) -> None:
    @app.get("/v1/{path:path}")
    async def unknown(path: str) -> Response:
        raise HTTPException(404, f"there is nothing at /v1/{path}")

    @app.get("/{name}")
    async def asset(name: str) -> Response:
        if name not in PAGE_FILES:
            raise HTTPException(404, f"there is nothing at /{name}")
        return _file(name)

    @app.get("/")
    async def index() -> Response:
        return _file("index.html")


def _file(name: str) -> Response:
    content = resources.files("davy.web").joinpath("static", name).read_bytes()
    return Response(content, media_type=PAGE_FILES[name])


def _refused(request: Request) -> Response | None:
    """Bodies without a bound, and what a page of someone else's makes a browser send."""
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return None
    length = request.headers.get("content-length", "")
    if not length.isdigit() or int(length) > BODY_BYTES_MAX:
        return JSONResponse({"error": f"a body has a Content-Length of at most {BODY_BYTES_MAX} bytes"}, 413)
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        return JSONResponse({"error": "commands come from this console's own page only"}, 403)
    return None
