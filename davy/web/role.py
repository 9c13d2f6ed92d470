"""The web role's shell: a feed, an HTTP server, and their end."""

from __future__ import annotations

import socket
import threading

import structlog
import uvicorn
from prometheus_client import REGISTRY

from davy.health import Standings, scraped
from davy.tls import Certificate
from davy.web.app import make
from davy.web.events import Events
from davy.web.feed import Feed
from davy.web.metrics import Rollouts
from schemas.config import Config
from schemas.errors import InfrastructureError
from streams import kafka
from streams.topics import ensure_topics

BACKLOG = 128
STOP_S = 3
WATCH_S = 0.2

log = structlog.get_logger("web")


def serve(config: Config, stop: threading.Event) -> None:
    """Answer HTTP until `stop` is set. Raises `InfrastructureError` where the broker or the port are not to be had."""
    kafka.require_broker(config)
    ensure_topics(config)
    certificate = None if config.http.tls is None else Certificate(config.http.tls)
    listener = listening(config.http.host, config.http.port)
    feed, events = Feed(config, stop), Events(stop)
    feed.listen(events.publish)
    REGISTRY.register(Rollouts(feed))
    REGISTRY.register(Standings({**feed.positions.standings, "web": feed.standing}, feed.faults))
    settings = uvicorn.Config(
        make(config, feed, events), log_config=None, access_log=False, timeout_graceful_shutdown=STOP_S,
        server_header=False, lifespan="off",
    )  # fmt: skip
    if certificate is not None:
        settings.load()
        settings.ssl = certificate.context
        certificate.renewing(stop)
    server = uvicorn.Server(settings)
    feed.start()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="http", daemon=True)
    thread.start()
    address = f"{config.http.host}:{listener.getsockname()[1]}"
    scheme = "http" if certificate is None else "https"
    log.info("ready", address=f"{scheme}://{address}")
    with scraped(config, "web", address, scheme):
        while not stop.wait(WATCH_S):
            if not thread.is_alive() or not feed.is_alive():
                stop.set()
                raise InfrastructureError("the console's server or its reader ended; its log says why")
    server.should_exit = True
    thread.join(STOP_S + 2)
    feed.join(STOP_S)


def listening(host: str, port: int) -> socket.socket:
    """A bound socket; raises `InfrastructureError` where the address is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise InfrastructureError(
            f"the console cannot listen on {host}:{port} ({error.strerror}): name another under http: in davy.yaml"
        ) from error
    listener.listen(BACKLOG)
    return listener
