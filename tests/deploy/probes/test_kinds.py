"""Every kind of probe against the real thing, while it is well and while it is not."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from deploy.prober import probe
from deploy.probes import kinds
from schemas.probes import Target
from streams.embedded import free_port
from tests.support.kafka import KafkaBroker
from tests.support.servers import Postgres, Redis, Server
from tests.support.system import until


def check(kind: str, address: str | None = None, **more: Any) -> str | None:
    """What is wrong with it."""
    target = Target.model_validate({"kind": kind, "address": address, "timeout": "2s", **more})
    return asyncio.run(probe(kinds()[kind], target, time.monotonic))[0]


@contextmanager
def http(status: int, body: bytes = b"", wait_s: float = 0.0) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(wait_s)
            self.send_response(status)
            self.end_headers()
            with suppress(BrokenPipeError):  # who asked has given up
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_all_kinds_are_found() -> None:
    assert list(kinds()) == ["clickhouse", "command", "dns", "http", "kafka", "postgresql", "redis", "tcp", "tls"]


@pytest.mark.parametrize(("kind", "server"), [("redis", Redis), ("postgresql", Postgres)])
def test_a_server_that_is_killed_and_started_again(kind: str, server: type[Server], tmp_path: Path) -> None:
    with server(tmp_path) as one:
        assert check(kind, one.address) is None
        assert check("tcp", one.address) is None
        one.kill()
        assert "cannot be reached" in str(check(kind, one.address))
        assert "cannot be reached" in str(check("tcp", one.address))
        one.start()
        until(lambda: check(kind, one.address) is None, 30, "it was well again: PostgreSQL recovers first")


def test_redis_tells_what_it_does_not_like(tmp_path: Path) -> None:
    with Redis(tmp_path) as redis:
        assert "WRONGPASS" in str(check("redis", f"redis://someone:secret@{redis.address}"))
        assert "no such protocol" not in str(check("postgresql", redis.address))
        assert check("postgresql", redis.address) is not None


def test_http_takes_200_to_399_and_follows_nothing() -> None:
    for status, wrong in ((200, None), (302, None), (404, "status 404"), (503, "status 503")):
        with http(status) as url:
            told = check("http", f"{url}/health?deep=1")
            assert told is None if wrong is None else wrong in str(told)


def test_a_probe_ends_at_its_timeout() -> None:
    with http(200, wait_s=3.0) as url:
        begin = time.monotonic()
        assert check("http", url, timeout="200ms") == "no answer within 0.2 s"
        assert time.monotonic() - begin < 2.0


def test_clickhouse_answers_pings() -> None:
    with http(200, b"Ok.\n") as url:
        assert check("clickhouse", url) is None
    with http(200, b"something else") as url:
        assert "ping" in str(check("clickhouse", url))


def test_kafka(kafka: KafkaBroker) -> None:
    assert check("kafka", kafka.bootstrap, timeout="5s") is None
    assert check("kafka", f"127.0.0.1:{free_port()}", timeout="500ms") is not None


def test_dns() -> None:
    assert check("dns", "localhost") is None
    assert "has no address" in str(check("dns", "no-such-name.invalid", timeout="10s"))


def test_commands() -> None:
    assert check("command", command=["/bin/true"]) is None
    assert check("command", command=["/bin/sh", "-c", "echo broken >&2; exit 3"]) == "exit code 3: broken"
    assert "cannot be reached" in str(check("command", command=["/no/such/program"]))
    assert check("command", command=["/bin/sleep", "9"], timeout="100ms") == "no answer within 0.1 s"


def test_tls_trust_and_expiry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "10", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*make, *names, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"localhost:{server.server_port}"
    try:
        assert "not trusted" in str(check("tls", address))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert check("tls", address, expires_within="5d") is None
        assert "ends in 10.0 days" in str(check("tls", address, expires_within="14d"))
    finally:
        server.shutdown()
