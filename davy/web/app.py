"""The console's routes. What they say is in `answers`; what they know is the feed's state."""

# pyright: reportUnusedFunction=false
# Routes are used by their decorators.

from __future__ import annotations

from importlib import resources
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.middleware.base import RequestResponseEndpoint

from davy.web import answers, control_routes, flag_routes, history_routes
from davy.web.access import Access
from davy.web.answers import PAGE_DEFAULT, Json
from davy.web.api import Api, Cursor, Limit, Tagged
from davy.web.console import Console, Text
from davy.web.events import Events
from davy.web.feed import Feed
from davy.web.pace import Pace
from davy.web.refusals import Refusals
from davy.writer import Writer
from schemas.codec import iso
from schemas.config import Config
from streams.clock import Clock

BODY_BYTES_MAX = 64 * 1024
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
STRICT_TRANSPORT = f"max-age={365 * 86_400}"
KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
STATIC = resources.files("davy.web").joinpath("static")
WATCHED = frozenset({"/healthz", "/readyz", "/metrics"})
"""Who keeps Davy running asks these, from one address for all that it watches."""
PAGE_FILES = frozenset(entry.name for entry in STATIC.iterdir())


class HookBody(BaseModel):
    """Flagger's: more fields may come with its versions."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "checkout",
                    "namespace": "shop",
                    "phase": "Progressing",
                    "metadata": {"experiment": "demo-errors"},
                }
            ]
        }
    )

    name: Text
    namespace: str = ""
    phase: str = ""
    metadata: dict[str, str] | None = None


def make(config: Config, feed: Feed, events: Events) -> FastAPI:
    """The application over a feed that someone else runs."""
    app = Api(default_response_class=Tagged)
    clock = Clock.of(config)
    console = Console(config, feed, events, clock, Access(config.http, clock), Writer(config))
    _guards(app, console.clock, Pace(config.http.requests_per_s))
    for routes in (
        _service,
        _records,
        _hooks,
        history_routes.routes,
        control_routes.routes,
        flag_routes.routes,
        _page,
    ):
        routes(app, console)
    return app


def _guards(app: FastAPI, clock: Clock, pace: Pace) -> None:
    refusals = Refusals()

    @app.middleware("http")
    async def guard(request: Request, call_next: RequestResponseEndpoint) -> Response:
        fault = _refused(request) or _hurried(request, pace)
        response = await call_next(request) if fault is None else fault
        refusals.take(request, response.status_code)
        tag = response.headers.get("etag")
        if tag is not None and tag in request.headers.get("if-none-match", ""):
            response = Response(status_code=304, headers={"ETag": tag, "Cache-Control": "no-cache"})
        response.headers["Davy-Now"] = iso(clock.now_us())
        if request.url.scheme == "https":
            response.headers["Strict-Transport-Security"] = STRICT_TRANSPORT
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    @app.exception_handler(AnyHTTPException)
    async def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, AnyHTTPException)
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def explain(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        found: Any = error.errors()[0]
        place = ".".join(str(part) for part in found["loc"] if part != "body")
        return JSONResponse({"error": f"{place or 'body'}: {found['msg']}"}, 400)


def _hurried(request: Request, pace: Pace) -> Response | None:
    caller = "" if request.client is None else request.client.host
    if request.url.path in WATCHED or pace.takes(caller):
        return None
    told = "too many requests from your address: wait a second (http: requests_per_s in davy.yaml)"
    return JSONResponse({"error": told}, 429, {"Retry-After": "1"})


def _service(app: FastAPI, console: Console) -> None:
    @app.get("/healthz")
    async def healthz() -> Json:
        """Whether the process lives."""
        return {"ok": True}

    @app.get("/readyz", responses={503: {"description": "Not ready: `reason` says why."}})
    async def readyz(report: bool = False) -> Response:
        """503 while not ready; with `report` it is told, not refused: for people's pages."""
        fault, faults = console.feed.fault(), console.feed.faults()
        roles = {role: {"ready": reason is None, "reason": reason} for role, reason in faults.items()}
        body = {"ready": fault is None, "reason": fault, "roles": roles}
        return JSONResponse(body, 200 if fault is None or report else 503)

    @app.get("/metrics", response_class=PlainTextResponse)
    def metrics() -> Response:
        """For Prometheus."""
        return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)

    @app.get("/v1/stream", response_class=StreamingResponse, responses={200: {"content": {"text/event-stream": {}}}})
    async def stream(experiment: str | None = None, overview: bool = False) -> Response:
        """All news; those of one experiment; or, for an overview, once a second what changed of the list."""
        if console.events.full:
            raise HTTPException(503, "too many listeners: close one of the pages that watch")
        told = console.changes() if overview else console.events.listen(experiment)
        return StreamingResponse(told, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


def _records(app: FastAPI, console: Console) -> None:
    @app.get("/v1/experiments", response_model=Json)
    def experiments(limit: Limit = PAGE_DEFAULT, cursor: Cursor = 0) -> Response:
        """All experiments, the latest applied first, each with its worst candidate's verdict."""
        with console.feed.lock:
            found = answers.experiments(console.feed.state, console.clock.now_us())
        return Tagged(answers.paged(found, limit, cursor))

    @app.get("/v1/experiments/{experiment_id}")
    def experiment(experiment_id: str) -> Json:
        """Everything about one experiment but its history."""
        with console.feed.lock:
            found = console.known(experiment_id)
            state = console.feed.state
            verdicts = state.verdicts.of(experiment_id)
            return answers.detail(
                found, console.clock.now_us(), state.budgets_of(found.spec), verdicts, state.probes_of(found.spec),
                console.feed.positions.dead_letters,
            )  # fmt: skip

    @app.get("/v1/experiments/{experiment_id}/verdicts", response_model=Json)
    def verdicts(experiment_id: str, limit: Limit = PAGE_DEFAULT, cursor: Cursor = 0) -> Response:
        """Its verdicts, the newest first."""
        with console.feed.lock:
            console.known(experiment_id)
            found = console.feed.state.verdicts.of(experiment_id)
        return Tagged(answers.paged(reversed(found), limit, cursor))

    @app.get("/v1/experiments/{experiment_id}/windows", response_model=Json)
    def windows(experiment_id: str, limit: Limit = PAGE_DEFAULT, cursor: Cursor = 0) -> Response:
        """Its closed windows, per variant, the newest first."""
        with console.feed.lock:
            console.known(experiment_id)
            found = console.feed.state.windows.of(experiment_id)
        return Tagged(answers.paged(reversed(found), limit, cursor))

    @app.get("/v1/decisions", response_model=Json)
    def decisions(experiment: str | None = None, limit: Limit = PAGE_DEFAULT, cursor: Cursor = 0) -> Response:
        """The ledger: what was done or refused, by whom and why, the newest first."""
        with console.feed.lock:
            names = list(console.feed.state.experiments) if experiment is None else [experiment]
            found = [decision for name in names for decision in console.feed.state.decisions.of(name)]
        found.sort(key=lambda decision: (decision.time, decision.sequence), reverse=True)
        return Tagged(answers.paged(found, limit, cursor))

    @app.get("/v1/budgets", response_model=Json)
    def budgets(service: str | None = None, limit: Limit = PAGE_DEFAULT, cursor: Cursor = 0) -> Response:
        """Error budgets, the one with least left first."""
        with console.feed.lock:
            held = list(console.feed.state.budgets.values())
        found = [status for status in held if service in (None, status.service)]
        return Tagged(answers.paged(sorted(found, key=lambda status: (status.left, status.key)), limit, cursor))

    @app.get("/v1/probes", response_model=Json)
    def probes(service: str | None = None, limit: Limit = PAGE_DEFAULT, cursor: Cursor = 0) -> Response:
        """The last probe of each dependency and its circuit: of all, or of those of one service."""
        with console.feed.lock:
            held = list(console.feed.state.probes.values())
        found = [probe for probe in held if service is None or service in probe.services]
        return Tagged(answers.paged(sorted(found, key=lambda probe: (probe.target, probe.kind)), limit, cursor))

    @app.get("/v1/changes")
    def changes(service: str | None = None, limit: Limit = PAGE_DEFAULT, cursor: Cursor = 0) -> Json:
        """Changes of services that no experiment judges, by version (`*`: all of them), the latest begin first."""
        with console.feed.lock:
            return answers.paged(answers.changes_of_services(console.feed.state, service), limit, cursor)

    @app.get("/v1/annotations")
    def annotations() -> Json:
        """What people and programs noted: deploys, changes of configuration."""
        with console.feed.lock:
            return {"items": [record.to_json() for record in console.feed.state.annotations], "next": None}


def _hooks(app: FastAPI, console: Console) -> None:
    @app.get("/v1/argo/{experiment_id}")
    def argo(experiment_id: str, variant: str | None = None) -> Json:
        """For an Argo Rollouts `web` metric: of the worst candidate, or of one."""
        with console.feed.lock:
            found = console.known(experiment_id)
            if variant is not None and variant not in found.spec.candidates:
                raise HTTPException(404, f"{experiment_id} has no candidate {variant!r}")
            held = found.current()
            return answers.argo(
                held if variant is None else {name: v for name, v in held.items() if name == variant},
                console.clock.now_us(),
            )

    @app.post(
        "/v1/flagger/{hook}", response_class=PlainTextResponse, responses={409: {"description": "It does not pass."}}
    )
    def flagger(hook: str, body: HookBody) -> Response:
        """Flagger's webhooks: 200, or 409 with the reason as text."""
        if hook not in answers.HOOKS:
            raise HTTPException(404, f"there is no hook {hook!r}; there are {', '.join(answers.HOOKS)}")
        name = (body.metadata or {}).get("experiment") or body.name
        if hook == "event":
            return PlainTextResponse("noted")
        with console.feed.lock:
            fault = answers.flagger(hook, console.known(name), console.clock.now_us())
        return PlainTextResponse("ok") if fault is None else PlainTextResponse(fault, 409)


def _page(app: FastAPI, console: Console) -> None:
    @app.get("/v1/{path:path}", include_in_schema=False)
    async def unknown(path: str) -> Response:
        raise HTTPException(404, f"there is nothing at /v1/{path}")

    @app.get("/{name}", include_in_schema=False)
    async def asset(name: str) -> Response:
        if name not in PAGE_FILES:
            raise HTTPException(404, f"there is nothing at /{name}")
        return _file(name)

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return _file("index.html")


def _file(name: str) -> Response:
    return Response(STATIC.joinpath(name).read_bytes(), media_type=KINDS[name[name.rindex(".") :]])


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
