"""Who was refused: each is counted, and a line of the log as long as they are not too many."""

from __future__ import annotations

import time

import structlog
from fastapi import Request
from prometheus_client import Counter

STATUSES = frozenset({401, 403, 413, 429})
LINES_PER_S = 10
"""Of more in a second only the number is known: whoever knocks all the time fills no disk."""
PATH_MAX = 200

REFUSED = Counter("davy_web_refused_total", "Requests that were refused, by their status.", ["status"])
log = structlog.get_logger("web")


class Refusals:
    """Of one console."""

    def __init__(self) -> None:
        self._second, self._lines = 0, 0

    def take(self, request: Request, status: int) -> None:
        """An answer was this."""
        if status not in STATUSES:
            return
        REFUSED.labels(status).inc()
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines <= LINES_PER_S:
            peer = None if request.client is None else request.client.host
            log.warning(
                "a caller was refused",
                status=status,
                method=request.method,
                path=request.url.path[:PATH_MAX],
                peer=peer,
            )
