"""Middleware for ASGI applications (asgi.readthedocs.io, HTTP connection scope)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from davy_emit.emitter import Emitter
from davy_emit.request import CURRENT, unit_of

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
CLOSED_BY_CLIENT = 499


class AsgiMiddleware:
    """Emits an event for each HTTP request; other scopes pass by. `unit_header` names the header that holds the unit."""

    def __init__(self, app: Application, emitter: Emitter, *, unit_header: str | None = None) -> None:
        self.app = app
        self.emitter = emitter
        self.unit_header = None if unit_header is None else unit_header.lower().encode("latin-1")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 0
        fields: dict[str, Any] = {}
        token = CURRENT.set(fields)
        begin_ns = time.perf_counter_ns()

        def watched(message: MutableMapping[str, Any]) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            return send(message)

        try:
            await self.app(scope, receive, watched)
        except asyncio.CancelledError:
            status = status or CLOSED_BY_CLIENT
            raise
        except Exception:
            status = 500
            raise
        finally:
            CURRENT.reset(token)
            took_ns = time.perf_counter_ns() - begin_ns
            self.emitter.emit_later(_event, status, took_ns, scope.get("route"), self._unit(scope), fields)

    def _unit(self, scope: Scope) -> bytes | None:
        wanted = self.unit_header
        if wanted is not None:
            for name, value in scope["headers"]:
                if name == wanted:
                    return value
        return None


def _event(status: int, took_ns: int, route: Any, unit: bytes | None, fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "status": status or 500, "duration_us": took_ns // 1000, "endpoint": _endpoint(route),
        "unit_id": None if unit is None else unit_of(unit.decode("latin-1")), **fields,
    }  # fmt: skip


def _endpoint(route: Any) -> str | None:
    """The route's template, as FastAPI and Starlette tell it."""
    found = getattr(route, "path_format", None) or getattr(route, "path", None)
    return str(found) if found else None
