"""/healthz, /readyz and /metrics of a role that has no console: a small HTTP server beside its loop.

Its address is written where Prometheus' `file_sd_configs` finds it: `data_dir`/scrape/ROLE-NUMBER.json.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from davy.positions import READS, Positions
from davy.tls import Certificate
from schemas.config import Config
from schemas.errors import InfrastructureError
from streams.membership import number
from streams.standing import HERE, Standing

Fault = Callable[[], str | None]
"""Why a role is not ready, in a sentence; None while it is."""
ANSWER_S = 5.0

log = structlog.get_logger("health")


class Standings(Collector):
    """How far roles are, and whether they move; `faults` by role."""

    def __init__(self, standings: Mapping[str, Standing], faults: Callable[[], Mapping[str, str | None]]) -> None:
        self.standings = standings
        self.faults = faults

    def collect(self) -> Iterable[Metric]:
        where = ["role", "topic", "partition"]
        lag = GaugeMetricFamily("davy_role_lag_records", "Records that wait for the role.", labels=where)
        position = GaugeMetricFamily(
            "davy_role_position", "Offset up to which the role has worked; its rate is the role's.", labels=where
        )
        ready = GaugeMetricFamily("davy_role_ready", "1 while the role moves.", labels=["role"])
        for role, standing in self.standings.items():
            for (topic, partition), mark in standing.marks():
                lag.add_metric([role, topic, str(partition)], mark.lag)
                position.add_metric([role, topic, str(partition)], mark.position)
        for role, fault in self.faults().items():
            ready.add_metric([role], int(fault is None))
        yield from (lag, position, ready)


@contextmanager
def watched(config: Config, role: str, stop: threading.Event) -> Generator[None]:
    """What every role's process has beside the role. The console answers by itself."""
    if role == "web":
        yield
        return
    HERE.role, HERE.limit_s = role, config.limits.standstill_us / 1e6
    standings = {role: HERE}

    def fault() -> str | None:
        return HERE.fault(time.monotonic()) or (None if positions is None else positions.fault())

    positions = None
    if role in READS:  # what these commit says how far they are
        positions = Positions(config, stop, role)
        positions.start()
        standings = positions.standings
    REGISTRY.register(Standings(standings, lambda: {role: fault()}))
    with answering(config, role, lambda: fault() or HERE.trouble):
        yield


@contextmanager
def answering(config: Config, role: str, fault: Fault) -> Generator[int]:
    """Answer while the context is open; gives the port. Raises `InfrastructureError` where it cannot be had."""
    certificate = None if config.health.tls is None else Certificate(config.health.tls)
    server = _server(config.health.host, config.health.port, fault)
    port, scheme = int(server.server_address[1]), "http"
    stop = threading.Event()
    if certificate is not None:
        scheme = "https"
        # the handshake waits for whoever is to be answered: in that connection's own thread
        server.socket = certificate.context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        certificate.renewing(stop)
    thread = threading.Thread(target=server.serve_forever, name="health", daemon=True)
    thread.start()
    log.info("health", address=f"{scheme}://{config.health.host}:{port}")
    try:
        with scraped(config, role, f"{config.health.host}:{port}", scheme):
            yield port
    finally:
        stop.set()
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def scraped(config: Config, role: str, address: str, scheme: str) -> Generator[Path]:
    """Tell Prometheus the address while the context is open; whoever is killed leaves the file to its successor."""
    path = config.data_dir / "scrape" / f"{role}-{number(config, role)}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps([{"targets": [address], "labels": {"role": role, "__scheme__": scheme}}]))
    part.replace(path)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _server(host: str, port: int, fault: Fault) -> ThreadingHTTPServer:
    try:
        return ThreadingHTTPServer((host, port), partial(_Handler, fault))
    except OSError as error:
        if not port:
            raise InfrastructureError(
                f"no port can be had on {host} ({error.strerror}): name another host under health:"
            ) from error
        log.warning("port taken, a free one is used", port=port, error=error.strerror)
        return _server(host, 0, fault)


class _Handler(BaseHTTPRequestHandler):
    timeout = ANSWER_S

    def __init__(self, fault: Fault, *arguments: Any) -> None:
        self.fault = fault
        super().__init__(*arguments)

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest(REGISTRY))
            case "/healthz":
                self._json(200, {"ok": True})
            case "/readyz":
                fault = self.fault()
                self._json(200 if fault is None else 503, {"ready": fault is None, "reason": fault})
            case path:
                self._json(404, {"error": f"there is nothing at {path}; ask /healthz, /readyz or /metrics"})

    def _json(self, status: int, body: Mapping[str, object]) -> None:
        self._answer(status, "application/json", json.dumps(body).encode())

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not news."""
