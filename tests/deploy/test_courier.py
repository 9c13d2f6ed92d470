"""The outbox and its courier: in order, tried again, given up, never lost while a receiver is down."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from deploy import courier as module
from deploy.courier import Courier, packed
from deploy.outbox import Outbox
from schemas.alerts import Alerts
from schemas.incident import Incident
from tests.support.system import until


class Hook:
    """A receiver that answers as told: statuses in turn, then 200; None hangs."""

    def __init__(self, *answers: int | None) -> None:
        self.answers = list(answers)
        self.taken: list[str] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body: Any = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = hook.answers.pop(0) if hook.answers else 200
                if status is None:
                    time.sleep(1.5)
                    return
                if status == 200:
                    hook.taken.append(body["subject"])
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    monkeypatch.setattr(module, "PAUSE_FIRST_S", 0.05)
    event = threading.Event()
    yield event
    event.set()


def bring(folder: Path, hook: Hook, stop: threading.Event) -> Outbox:
    receivers = {"hook": {"type": "webhook", "url": hook.url, "timeout": "500ms"}}
    outbox = Outbox(folder / "hook", 100)
    Courier("hook", Alerts.model_validate({"receivers": receivers}), outbox, lambda: 0, stop).start()
    return outbox


def incident(name: str) -> bytes:
    return packed(Incident(name, "info", "title", "text", 1, 1))


def test_in_order_and_again_until_taken(tmp_path: Path, stop: threading.Event) -> None:
    hook = Hook(500, None, 429, 503)
    outbox = bring(tmp_path, hook, stop)
    for name in "abc":
        outbox.put(incident(name))
    until(lambda: len(outbox) == 0, 20, "all were taken")
    assert hook.taken == ["a", "b", "c"]
    assert list((tmp_path / "hook").iterdir()) == []


def test_what_is_refused_for_good_stands_before_nobody(tmp_path: Path, stop: threading.Event) -> None:
    hook = Hook(400, 302)
    outbox = bring(tmp_path, hook, stop)
    outbox.put(b"no incident")
    for name in "abc":
        outbox.put(incident(name))
    until(lambda: len(outbox) == 0, 20, "all were taken or given up")
    assert hook.taken == ["c"]


def test_a_receiver_that_hangs_delays_no_other(tmp_path: Path, stop: threading.Event) -> None:
    slow, quick = Hook(*[None] * 10), Hook()
    one, two = bring(tmp_path / "1", slow, stop), bring(tmp_path / "2", quick, stop)
    one.put(incident("a"))
    begin = time.monotonic()
    two.put(incident("b"))
    until(lambda: quick.taken == ["b"], 5, "the quick one had its message")
    assert time.monotonic() - begin < 1.4
    assert len(one) == 1


def test_messages_outlive_the_process_and_the_oldest_go_first_when_full(tmp_path: Path, stop: threading.Event) -> None:
    first = Outbox(tmp_path / "hook", 3)
    for name in "abcde":
        first.put(incident(name))
    (tmp_path / "hook" / "000000000009.message.part").write_bytes(b"half")
    hook = Hook()
    again = bring(tmp_path, hook, stop)
    again.put(incident("f"))
    until(lambda: len(again) == 0, 20, "all were taken")
    assert hook.taken == ["c", "d", "e", "f"]
