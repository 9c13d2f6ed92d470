"""One JSON line per event, on stderr (or in a file): stdout belongs to a command's answer."""

from __future__ import annotations

import contextlib
import logging
import sys
from pathlib import Path

import structlog


class Lines(structlog.PrintLogger):
    """Lines that nobody can write, as on a full disk, are lost and keep nobody from work."""

    def msg(self, message: str) -> None:
        """Write it, or not."""
        with contextlib.suppress(OSError):
            super().msg(message)

    log = debug = info = warn = warning = fatal = failure = err = error = critical = exception = msg


def configure(role: str, path: Path | None = None) -> None:
    """Every line carries its time (UTC), its level and the role it comes from; other libraries' warnings come
    the same way.

    With a `path` the lines go to that file: a terminal that shows a view has no room for them.
    """
    sink = sys.stderr
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        sink = path.open("a", encoding="utf-8", buffering=1)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: Lines(sink),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(role=role)
    handler = logging.StreamHandler(sink)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.dict_tracebacks,
                structlog.processors.JSONRenderer(),
            ],
            foreign_pre_chain=shared,
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
