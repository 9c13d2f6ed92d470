"""Middleware for WSGI applications (PEP 3333)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from davy_emit.emitter import Emitter
from davy_emit.request import CURRENT, unit_of

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


class WsgiMiddleware:
    """Emits an event for each request once its response was sent. `unit_header` names the header that holds the unit."""

    def __init__(self, app: Application, emitter: Emitter, *, unit_header: str | None = None) -> None:
        self.app = app
        self.emitter = emitter
        self.unit_key = None if unit_header is None else "HTTP_" + unit_header.upper().replace("-", "_")

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        served = _Served(self, environ)

        def started(status: str, *rest: Any) -> Any:
            served.status = int(status.split(" ", 1)[0])
            return start_response(status, *rest)

        token = CURRENT.set(served.fields)
        try:
            served.body = self.app(environ, started)
        except Exception:
            served.status = 500
            served.close()
            raise
        finally:
            CURRENT.reset(token)
        return served


class _Served:
    """The response's body; the server closes it when all was sent (PEP 3333), and so the event is emitted once."""

    def __init__(self, middleware: WsgiMiddleware, environ: Environ) -> None:
        self.middleware = middleware
        self.environ = environ
        self.fields: dict[str, Any] = {}
        self.status = 500
        self.body: Iterable[bytes] = ()
        self._chunks: Iterator[bytes] = iter(())
        self._begin_ns, self._cpu_ns = time.perf_counter_ns(), time.thread_time_ns()
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        self._chunks = iter(self.body)
        return self

    def __next__(self) -> bytes:
        token = CURRENT.set(self.fields)
        try:
            return next(self._chunks)
        except StopIteration:
            raise
        except Exception:
            self.status = 500
            raise
        finally:
            CURRENT.reset(token)

    def close(self) -> None:
        """Close the application's body, and emit."""
        if self._closed:
            return
        self._closed = True
        try:
            close = getattr(self.body, "close", None)
            if close is not None:
                close()
        finally:
            self._emit()

    def _emit(self) -> None:
        key = self.middleware.unit_key
        request = self.environ.get("werkzeug.request")
        self.middleware.emitter.emit_later(
            _event, self.status, time.perf_counter_ns() - self._begin_ns, time.thread_time_ns() - self._cpu_ns,
            getattr(request, "url_rule", None), None if key is None else self.environ.get(key), self.fields,
        )  # fmt: skip


def _event(
    status: int, took_ns: int, cpu_ns: int, rule: Any, unit: str | None, fields: dict[str, Any]
) -> dict[str, Any]:
    """`rule`: the route, where Flask or Werkzeug tell it."""
    return {
        "status": status, "duration_us": took_ns // 1000, "cpu_us": max(0, cpu_ns) // 1000,
        "endpoint": None if rule is None else str(rule.rule), "unit_id": None if unit is None else unit_of(unit), **fields,
    }  # fmt: skip
