"""The emitter against a real broker, behind real servers: every request is an event, and nothing slows or fails a request."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
import uvicorn
from davy_emit import AsgiMiddleware, Emitter, WsgiMiddleware, expose, note
from davy_emit.openfeature import ExposureHook
from davy_emit.request import unit_of
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from openfeature import api
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

from davy.commands import schema
from schemas import codec
from schemas.config import Config
from streams import kafka
from streams.embedded import EmbeddedBroker, free_port
from streams.topics import ensure_topics
from tests.support.system import until

WAIT_S = 30.0
PART_S = 0.05
Event = dict[str, Any]


@pytest.fixture
def config(tmp_path: Path, tansu: EmbeddedBroker) -> Config:
    made = Config.model_validate(
        {"kafka": {"bootstrap.servers": tansu.bootstrap}, "embedded": True, "data_dir": str(tmp_path)}
    )
    ensure_topics(made)
    return made


@pytest.fixture
def emitter(config: Config) -> Iterator[Emitter]:
    made = Emitter(config.kafka["bootstrap.servers"], service="shop", environment="test", version="2", instance="pod-1")
    yield made
    made.close()


def events(config: Config, emitter: Emitter, count: int) -> list[Event]:
    """All that were sent, as Davy reads them, by endpoint."""
    emitter.close(WAIT_S)
    assert (emitter.sent, emitter.dropped, emitter.failed) == (count, 0, 0)
    found = [codec.decode_as("RequestEvent", m.value() or b"") for m in kafka.to_end(config, "davy.events", "test")]
    return sorted(found, key=lambda event: str(event["endpoint"]))


def get(port: int, path: str, **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=named)
    try:
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
            answer.read()
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


@contextmanager
def served(application: Any) -> Iterator[int]:
    """By uvicorn; the port."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(application, port=port, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started, WAIT_S, "uvicorn started")
    try:
        yield port
    finally:
        server.should_exit = True
        thread.join(WAIT_S)


def shop() -> FastAPI:
    app = FastAPI()

    @app.get("/a/{item}")
    async def whole(item: str) -> str:  # pyright: ignore[reportUnusedFunction]
        expose("checkout-2", "canary")
        note(segment="eu", measures={"queue": 2.0})
        note(measures={"basket": 3.5})
        return item

    @app.get("/b")
    def in_a_thread() -> None:  # pyright: ignore[reportUnusedFunction]
        note(error=True)

    @app.get("/c")
    async def in_parts() -> StreamingResponse:  # pyright: ignore[reportUnusedFunction]
        def parts() -> Iterator[bytes]:
            yield b"one"
            time.sleep(PART_S)
            yield b"two"

        return StreamingResponse(parts())

    @app.get("/d")
    async def broken() -> None:  # pyright: ignore[reportUnusedFunction]
        raise RuntimeError("as it happens")

    return app


def test_asgi(config: Config, emitter: Emitter) -> None:
    before_us = time.time_ns() // 1000
    with served(AsgiMiddleware(shop(), emitter, unit_header="X-Unit-Id")) as port:
        assert [get(port, "/a/7", X_Unit_Id="ann"), get(port, "/b"), get(port, "/c"), get(port, "/d"), get(port, "/x")] == [
            200, 200, 200, 500, 404,
        ]  # fmt: skip
    nowhere, a, b, c, d = sorted(events(config, emitter, 5), key=lambda event: event["endpoint"] or "")
    assert {(e["service"], e["environment"], e["version"], e["instance"], e["sample_rate"]) for e in (a, b, c, d)} == {
        ("shop", "test", "2", "pod-1", 1.0)
    }
    assert [e["status"] for e in (nowhere, a, b, c, d)] == [404, 200, 200, 200, 500]
    assert [e["endpoint"] for e in (nowhere, a, b, c, d)] == [None, "/a/{item}", "/b", "/c", "/d"]
    assert (a["experiment_id"], a["variant"], a["segment"]) == ("checkout-2", "canary", "eu")
    assert a["measures"] == {"queue": 2.0, "basket": 3.5}
    assert (a["unit_id"], b["unit_id"], b["error"], a["error"]) == (unit_of("ann"), None, True, None)
    assert c["duration_us"] >= PART_S * 1e6, "the last byte counts"
    now_us = time.time_ns() // 1000
    assert all(before_us <= e["timestamp"] <= now_us for e in (a, b, c, d))


def test_wsgi(config: Config, emitter: Emitter) -> None:
    def application(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        if environ["PATH_INFO"] == "/broken":
            raise RuntimeError("as it happens")
        start_response("201 Created", [])
        expose("checkout-2", "control")
        return parts()

    def parts() -> Iterator[bytes]:
        yield b"one"
        note(segment="us")
        sum(i * i for i in range(200_000))
        yield b"two"

    class Quiet(WSGIRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    middleware = WsgiMiddleware(application, emitter, unit_header="X-Unit-Id")
    with make_server("127.0.0.1", 0, middleware, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        assert get(server.server_port, "/", X_Unit_Id="ann") == 201
        assert get(server.server_port, "/broken") == 500
        server.shutdown()
        thread.join(WAIT_S)
    good, bad = sorted(events(config, emitter, 2), key=lambda event: event["status"])
    assert (good["status"], bad["status"]) == (201, 500)
    assert (good["variant"], good["segment"], good["unit_id"]) == ("control", "us", unit_of("ann"))
    assert 0 < good["cpu_us"] <= good["duration_us"]


def test_flags_are_experiments(config: Config, emitter: Emitter) -> None:
    flag = InMemoryFlag("canary", {"control": "old", "canary": "new"})
    api.set_provider(InMemoryProvider({"checkout-2": flag, "colour": flag}))
    api.add_hooks([ExposureHook("checkout-2")])
    app = FastAPI()

    @app.get("/")
    def page() -> str:  # pyright: ignore[reportUnusedFunction]
        client = api.get_client()
        client.get_string_value("missing", "old")
        client.get_string_value("colour", "old")
        return client.get_string_value("checkout-2", "old")

    try:
        with served(AsgiMiddleware(app, emitter)) as port:
            assert get(port, "/") == 200
    finally:
        api.clear_hooks()
    (event,) = events(config, emitter, 1)
    assert (event["experiment_id"], event["variant"]) == ("checkout-2", "canary")


def test_what_cannot_be_sent_is_counted_and_takes_nothing_with_it(config: Config, emitter: Emitter) -> None:
    good = {"status": 200, "duration_us": 5}
    for bad in ({"status": "fine", "duration_us": 5}, {}, good | {"measures": {"x": "y"}}):
        emitter.emit(bad)
        emitter.emit(good)
    emitter.close(WAIT_S)
    assert (emitter.sent, emitter.dropped, emitter.failed) == (3, 3, 0)
    emitter.emit(good)
    assert emitter.dropped == 4


def test_a_broker_that_hangs_or_is_away_costs_events_only(tansu: EmbeddedBroker, config: Config) -> None:
    assert tansu._process is not None
    pid = tansu._process.pid
    os.kill(pid, signal.SIGSTOP)
    hanging = Emitter({"bootstrap.servers": tansu.bootstrap, "message.timeout.ms": 500}, **NAMES, queue_events_max=100)
    away = Emitter(
        {"bootstrap.servers": f"127.0.0.1:{free_port()}", "message.timeout.ms": 500}, **NAMES, queue_events_max=100
    )
    try:
        for emitter in (hanging, away):
            with served(AsgiMiddleware(shop(), emitter)) as port:
                assert [get(port, "/b") for _ in range(20)] == [200] * 20
            for _ in range(5000):
                emitter.emit({"status": 200, "duration_us": 5})
            until(lambda emitter=emitter: emitter.failed > 0, WAIT_S, "an event was given up")
            emitter.close(1.0)
            assert (emitter.sent, emitter.dropped + emitter.failed) == (0, 5020), "every event is told of"
            assert emitter.dropped > 0
    finally:
        os.kill(pid, signal.SIGCONT)


def test_what_is_still_on_its_way_when_time_is_up_is_told() -> None:
    emitter = Emitter(f"127.0.0.1:{free_port()}", **NAMES)
    for _ in range(500):
        emitter.emit({"status": 200, "duration_us": 5})
    emitter.close(1.0)
    assert (emitter.sent, emitter.dropped + emitter.failed) == (0, 500)


def test_settings_that_cannot_be_used_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    emitter = Emitter({"bootstrap.servers": "x:1", "no.such.setting": 1}, **NAMES)
    emitter.emit({"status": 200, "duration_us": 5})
    until(lambda: emitter.queue_events_max == 0, WAIT_S, "the settings were refused")
    emitter.emit({"status": 200, "duration_us": 5})
    emitter.close()
    assert emitter.dropped == 2
    assert "no.such.setting" in caplog.text
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_a_forked_process_sends_its_own(config: Config, emitter: Emitter) -> None:
    emitter.emit({"status": 200, "duration_us": 1})
    until(lambda: emitter.sent == 1, WAIT_S, "the parent sent")
    child = os.fork()
    if child == 0:
        emitter.emit({"status": 200, "duration_us": 2})
        emitter.close(WAIT_S)
        os._exit(0 if emitter.sent == 2 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(events(config, emitter, 1)) == 2


def test_a_sample_says_what_it_is(config: Config) -> None:
    emitter = Emitter(config.kafka["bootstrap.servers"], **NAMES, sample_rate=0.25)
    for _ in range(4000):
        emitter.emit({"status": 200, "duration_us": 5})
    emitter.close(WAIT_S)
    assert 800 < emitter.sent < 1200
    with pytest.raises(ValueError, match="sample_rate is 0"):
        Emitter("x:1", **NAMES, sample_rate=0)


def test_the_schema_is_davys() -> None:
    ours = Path(__file__).parents[2] / "clients/python/davy_emit/RequestEvent.avsc"
    assert json.loads(ours.read_text()) == json.loads(schema.schema("RequestEvent"))


NAMES: dict[str, Any] = {"service": "shop", "environment": "test", "version": "2"}
