"""Nobody asks without end: a caller that is too fast is told to wait, and others do not notice."""

from __future__ import annotations

import threading

from starlette.testclient import TestClient

from davy.web.app import make
from davy.web.events import Events
from davy.web.feed import Feed
from davy.web.pace import CALLERS_MAX, SAVED_S, Pace
from schemas.config import Config

PER_S = 2


def console(per_s: int = PER_S) -> Config:
    return Config.model_validate({"http": {"requests_per_s": per_s}})


def test_who_asks_too_fast_is_told_to_wait_and_nobody_else() -> None:
    config = console()
    app = make(config, Feed(config, threading.Event()), Events(threading.Event()))
    hasty, other = TestClient(app, client=("10.0.0.1", 1)), TestClient(app, client=("10.0.0.2", 1))
    forged = {"X-Forwarded-For": "10.0.0.3", "Forwarded": "for=10.0.0.3"}
    statuses = [hasty.get("/v1/experiments", headers=forged).status_code for _ in range(int(PER_S * SAVED_S) + 5)]
    assert statuses[:8] == [200] * 8
    assert 429 in statuses
    answer = hasty.post("/v1/annotations", json={"text": "x"})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert "requests_per_s" in answer.json()["error"]
    assert other.get("/v1/experiments").status_code == 200
    assert [hasty.get(path).status_code for path in ("/healthz", "/metrics")] == [200, 200], (
        "who watches is not refused"
    )


def test_what_was_not_asked_is_saved_for_some_seconds_only() -> None:
    held = Pace(10.0)
    assert sum(held.takes("a", 0.0) for _ in range(100)) == 50
    assert sum(held.takes("a", 1.0) for _ in range(100)) == 10
    assert sum(held.takes("a", 3600.0) for _ in range(100)) == 50


def test_callers_are_remembered_up_to_a_limit() -> None:
    held = Pace(1.0)
    for caller in range(2 * CALLERS_MAX):
        assert held.takes(str(caller), 0.0)
    assert len(vars(held)["_saved"]) == CALLERS_MAX
