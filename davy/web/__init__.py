"""The console: what Davy knows over HTTP, for people (a page), programs (JSON, events, hooks) and Prometheus."""

from __future__ import annotations

import threading

from schemas.config import Config


def run(config: Config, stop: threading.Event) -> None:
    """The web role: blocks until stopped. Raises `InfrastructureError` where the broker or the port are not to be had."""
    from davy.web.role import serve

    serve(config, stop)
