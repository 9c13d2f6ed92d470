"""The console's routes. What they say is in `answers`; what they know is the feed's state."""

# pyright: reportUnusedFunction=false
# Routes are used by their decorators.

from __future__ import annotations

from importlib import resources
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from pydantic import BaseModel
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.middleware.base import RequestResponseEndpoint

from davy.web import answers, control_routes, flag_routes
from davy.web.answers import PAGE_DEFAULT, PAGE_MAX, Json
from davy.web.console import Console, Text
from davy.web.events import Events
from davy.web.feed import Feed
from schemas.config import Config
from streams.clock import Clock

BODY_BYTES_MAX = 64 * 1024
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
PAGE_FILES = {"index.html": "text/html", "app.js": "text/javascript", "chart.js": "text/javascript", "style.css": "text/css",
              "lamp.svg": "image/svg+xml"}  # fmt: skip

Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]
Cursor = Annotated[int, Query(ge=0)]


class HookBody(BaseModel):
    """Flagger's: more fields may come with its versions."""

    name: Text
    namespace: str = ""
    phase: str = ""
    metadata: dict[str, str] | None = None


def make(config: Config, feed: Feed, events: Events) -> FastAPI:
    """The application over a feed that someone else runs."""
    app = FastAPI(title="Davy", docs_url=None, redoc_url=None, openapi_url="/v1/openapi.json")
    console = Console(config, feed, events, Clock.of(config))
    _guards(app)
    for routes in (_service, _records, _hooks, control_routes.routes, flag_routes.routes, _page):
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
    length = request.headers.get("content-length", "0" if request.method == "DELETE" else "")
    if not length.isdigit() or int(length) > BODY_BYTES_MAX:
        return JSONResponse({"error": f"a body has a Content-Length of at most {BODY_BYTES_MAX} bytes"}, 413)
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        return JSONResponse({"error": "commands come from this console's own page only"}, 403)
    return None
