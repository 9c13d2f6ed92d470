"""Routes by which the store is asked: spans of time from minutes to years, and verdicts that the console keeps no longer."""

# pyright: reportUnusedFunction=false
# Routes are used by their decorators.

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Annotated, Any, Literal, TypeVar

from fastapi import FastAPI, HTTPException, Query
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from davy import recall
from davy.commands import report
from davy.store import asking
from davy.web import answers, history
from davy.web.answers import PAGE_DEFAULT, Json
from davy.web.api import Cursor, Limit, Tagged
from davy.web.console import Console
from davy.web.history import POINTS_DEFAULT, POINTS_MAX, SECOND_US
from schemas.codec import iso, micros
from schemas.config import Config
from schemas.errors import DavyError, UnknownId
from schemas.spec import ExperimentSpec

STORE_S = 1.0
"""How long another process may have the store before we say that it cannot be asked."""
ASKED_MAX, WAIT_S = 2, 1.5
"""Questions to a server at the same time; one more waits this long, then it is refused."""
KEPT_MAX, KEPT_S = 64, 5.0
"""Answers that many who look at the same share, and for how long."""
YEARS_MAX = 20
SPAN_US_MAX = YEARS_MAX * 366 * 86_400 * SECOND_US
END_US_MAX = micros("2100-01-01T00:00:00Z")
"""Old servers count to 2106."""

REPORT_POLICY = f"default-src 'none'; style-src 'sha256-{report.STYLE_SHA256}'; frame-ancestors 'none'; base-uri 'none'"
"""The page has one style, within itself."""
REPORT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/html": {}, "text/markdown": {}}},
    503: {"description": "The store cannot be asked."},
}

Format = Literal["json", "markdown", "html"]
Moment = Annotated[str | None, Query(max_length=40, examples=["2026-11-25T12:00:00Z"])]
Words = Annotated[str, Query(max_length=200, examples=["cache"])]
Points = Annotated[int, Query(ge=2, le=POINTS_MAX)]
T = TypeVar("T")


class Desk:
    """Where the store is asked: by few at a time, and not again for what was just answered."""

    def __init__(self, at_once: int) -> None:
        self._slots = asyncio.Semaphore(at_once)
        self._kept: OrderedDict[Hashable, tuple[float, Json]] = OrderedDict()

    async def ask(self, key: Hashable, question: Callable[[], Json]) -> Json:
        """The answer. Raises `HTTPException`: 503 where the store cannot be asked."""
        try:
            async with asyncio.timeout(WAIT_S):
                await self._slots.acquire()
        except TimeoutError:
            raise HTTPException(503, "the store answers others: ask again soon") from None
        try:
            kept = self._kept.get(key)
            if kept is not None and time.monotonic() - kept[0] < KEPT_S:
                return kept[1]
            answer = await run_in_threadpool(question)
        except DavyError as error:
            raise HTTPException(503, f"the store cannot be asked: {error}") from error
        finally:
            self._slots.release()
        self._kept[key] = (time.monotonic(), answer)
        self._kept.move_to_end(key)
        if len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)
        return answer


def routes(app: FastAPI, console: Console) -> None:
    """Add them to the application."""
    desk = Desk(1 if console.config.clickhouse is None else ASKED_MAX)  # an embedded store has one reader

    @app.get(
        "/v1/experiments/{experiment_id}/history", response_model=Json,
        responses={503: {"description": "The store cannot be asked."}},
    )  # fmt: skip
    async def told(
        experiment_id: str, begin: Annotated[Moment, Query(alias="from")] = None,
        end: Annotated[Moment, Query(alias="to")] = None, points: Points = POINTS_DEFAULT, report: bool = False,
    ) -> Response:  # fmt: skip
        """A span of time from the store, in at most so many steps: windows of each arm and of the rest of its service
        (`variant` null), evidence, verdicts at which something changed, the ledger, annotations. Without `from`: since the
        experiment's first window; without `to`: until now. With `report` a store that cannot be asked is told, not refused."""
        with console.feed.lock:
            spec = console.known(experiment_id).spec
        now_us = console.clock.now_us()
        begin_us, end_us = _moment("from", begin), _moment("to", end)
        until_us = now_us if end_us is None else end_us
        since_us = max(0, until_us - SECOND_US) if begin_us is None else begin_us
        if not 0 <= since_us < until_us <= END_US_MAX or until_us - since_us > SPAN_US_MAX:
            raise HTTPException(
                400, f"from and to: a span of at most {YEARS_MAX} years, from 1970 to 2099, in this order"
            )

        def question() -> Json:
            return _history(console.config, spec, begin_us, until_us, points, now_us)

        try:
            return Tagged(await desk.ask((spec.id, spec.digest, begin_us, end_us, points), question))
        except HTTPException as error:
            if report and error.status_code == 503:
                return Tagged({"experiment_id": spec.id, "fault": error.detail})
            raise

    @app.get(
        "/v1/experiments/{experiment_id}/verdicts/{verdict_id}",
        responses={503: {"description": "The store cannot be asked."}},
    )
    async def verdict(experiment_id: str, verdict_id: str) -> Json:
        """One verdict, from the store where it is an old one."""
        with console.feed.lock:
            console.known(experiment_id)
            kept = console.feed.state.verdicts.of(experiment_id)
        for found in kept:
            if found.verdict_id == verdict_id:
                return found.to_json()

        def question() -> Json:
            found = [item for item in recall.verdicts(verdict_id, console.config) if item.verdict_id == verdict_id]
            return found[0].to_json() if found and found[0].experiment_id == experiment_id else {}

        answer = await desk.ask(verdict_id, question)
        if not answer:
            raise HTTPException(404, f"{experiment_id} has no verdict {verdict_id!r}")
        return answer

    @app.get("/v1/reports", response_model=Json, responses={503: {"description": "The store cannot be asked."}})
    async def reports(find: Words = "", limit: Limit = PAGE_DEFAULT, cursor: Cursor = 0) -> Response:
        """What was tried, the newest first: experiments whose spec, ledger or report has all words of `find`."""

        def question() -> Json:
            with asking(console.config, STORE_S) as asked:
                return {"items": report.found(find, asked)}

        return Tagged(answers.paged((await desk.ask(("reports", find), question))["items"], limit, cursor))

    @app.get("/v1/experiments/{experiment_id}/report", responses=REPORT)
    async def learned(experiment_id: str, format: Format = "json") -> Response:
        """What was learned from an experiment, as `davy report` writes it: JSON with its Markdown, or the text itself."""
        with console.feed.lock:
            console.known(experiment_id)

        def question() -> Json:
            try:
                return {"experiment_id": experiment_id, "markdown": report.markdown(experiment_id, console.config)}
            except UnknownId as error:
                return {"error": str(error)}

        answer = await desk.ask(("report", experiment_id), question)
        if "error" in answer:
            raise HTTPException(404, answer["error"])
        if format == "markdown":
            return Response(answer["markdown"], media_type="text/markdown; charset=utf-8")
        if format == "html":
            page = report.as_html(answer["markdown"])
            return HTMLResponse(page, headers={"Content-Security-Policy": REPORT_POLICY})
        return JSONResponse(answer)


def _history(config: Config, spec: ExperimentSpec, begin_us: int | None, end_us: int, points: int, now_us: int) -> Json:
    with asking(config, STORE_S) as question:
        known = history.held(question, spec)
        if begin_us is None:
            begin_us = history.begun_us(question, spec)
        begin_us = max(0, end_us - SECOND_US) if begin_us is None or begin_us >= end_us else begin_us
        answer = history.told(question, spec, history.span(config, begin_us, end_us, points, now_us))
    return answer | {"held": known and {"from": iso(known[0]), "to": iso(known[1])}, "fault": None}


def _moment(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return micros(text)
    except (ValueError, OverflowError) as error:
        raise HTTPException(400, f"{name}: {error}") from error
