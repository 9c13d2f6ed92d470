"""Argo Rollouts' `web` metric and Flagger's webhooks, byte for byte as their Go clients send them, to the real server in each
state of a rollout.

Both as in the projects' sources: Argo's GET has a timeout of 10 s and takes any 2xx whose JSON has the path; Flagger's POST
has 10 s (events 5 s), passes up to 202, and go-retryablehttp repeats what got no answer, a 429 or a 5xx.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import uvicorn

from davy.web.app import make
from davy.web.events import Events
from davy.web.feed import Feed
from davy.web.role import listening
from deploy.rollout import step
from deploy.rollout_state import Event, Record, Rollout, Tell
from deploy.transitions import SHIFTS, Kind, State
from schemas.config import load_config
from schemas.control import Control, SpecApplied
from schemas.spec import ExperimentSpec, load_specs
from schemas.verdict import Action, Conclusion, Verdict
from streams.clock import Clock

TEXT = """\
id: {name}
service: shop
environment: test
variants: {{control: {{version: "1"}}, canary: {{version: "2"}}}}
slis: [{{name: errors, type: error_ratio, max_increase: 1pp}}]
steps: [{{weight: 25%, duration: 1m}}, {{weight: 50%, duration: 1m}}]
"""
K, S = Kind, State
WAYS: dict[State, tuple[Kind, ...]] = {
    S.PENDING: (), S.QUEUED: (K.QUEUE,), S.SHIFTING: (K.APPLY,), S.BAKING: (K.APPLY, K.SHIFTED),
    S.PAUSED: (K.APPLY, K.SHIFTED, K.PAUSE), S.PROMOTING: (K.APPLY, K.SHIFTED, K.PROMOTE),
    S.PROMOTED: (K.APPLY, K.SHIFTED, K.PROMOTE, K.SHIFTED), S.ROLLING_BACK: (K.APPLY, K.SHIFTED, K.ROLLBACK),
    S.ROLLED_BACK: (K.APPLY, K.SHIFTED, K.ROLLBACK, K.SHIFTED), S.ABORTING: (K.APPLY, K.SHIFTED, K.ABORT),
    S.ABORTED: (K.APPLY, K.SHIFTED, K.ABORT, K.SHIFTED),
}  # fmt: skip
"""How a rollout gets into each state."""
Said = tuple[Action, Conclusion]
RUNNING: tuple[Said | None, ...] = (
    None, ("CONTINUE", "INCONCLUSIVE"), ("CONTINUE", "HEALTHY"), ("ADVANCE", "HEALTHY"), ("HOLD", "NO_DATA"),
    ("HOLD", "INVALID"), ("PROMOTE", "HEALTHY"), ("ROLLBACK", "HARM"),
)  # fmt: skip
SAID: dict[State, tuple[Said | None, ...]] = {
    **dict.fromkeys(S, RUNNING), S.PENDING: (None,), S.QUEUED: (None,),
    S.PROMOTING: (("PROMOTE", "HEALTHY"),), S.PROMOTED: (("PROMOTE", "HEALTHY"),),
    S.ROLLING_BACK: (("ROLLBACK", "HARM"),), S.ROLLED_BACK: (("ROLLBACK", "HARM"),),
}  # fmt: skip
"""What the judge may have said last in each state (None: nothing yet)."""
GOOD = {("ADVANCE", "HEALTHY"), ("PROMOTE", "HEALTHY"), ("CONTINUE", "HEALTHY")}
UNHARMED: set[str | None] = {None, "CONTINUE", "ADVANCE", "HOLD", "PROMOTE"}
PASSING: dict[str, set[str | None]] = {
    "rollout": UNHARMED, "pre-rollout": UNHARMED, "confirm-rollout": UNHARMED,
    "confirm-traffic-increase": {"ADVANCE", "PROMOTE"}, "confirm-promotion": {"PROMOTE"}, "rollback": {"ROLLBACK"},
    "event": UNHARMED | {"ROLLBACK"}, "post-rollout": UNHARMED | {"ROLLBACK"},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Go:
    """Go's net/http: its headers in its order, and bodies as encoding/json writes them."""

    port: int

    def argo(self, experiment: str) -> tuple[bool, bool, Any]:
        """What a `web` metric with `jsonPath: "{$}"` gets."""
        answer = self._send(f"GET /v1/argo/{experiment} HTTP/1.1", "", b"", 10)
        assert 200 <= answer.status < 300
        found = json.loads(answer.body)
        return found["ok"], found["fail"], found

    def flagger(self, hook: str, name: str, phase: str, metadata: dict[str, str] | None = None) -> Answer:
        payload: dict[str, Any] = {"name": name, "namespace": "prod", "phase": phase, "checksum": "5b8d4c9f7d"}
        if metadata is not None:
            payload["metadata"] = metadata
        body = json.dumps(payload, separators=(",", ":")).encode()
        timeout_s = 5 if hook == "event" else 10
        answer = self._send(f"POST /v1/flagger/{hook} HTTP/1.1", "Content-Type: application/json\r\n", body, timeout_s)
        assert answer.status != 429, "it would be repeated, and its reason lost"
        assert answer.status < 500
        return answer

    def _send(self, line: str, more: str, body: bytes, timeout_s: float) -> Answer:
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        head = f"{line}\r\nHost: 127.0.0.1:{self.port}\r\nUser-Agent: Go-http-client/1.1\r\n{length}{more}"
        with socket.create_connection(("127.0.0.1", self.port), timeout_s) as connection:
            connection.sendall(f"{head}Accept-Encoding: gzip\r\n\r\n".encode() + body)
            stream = connection.makefile("rb")
            status = int(stream.readline().split()[1])
            headers: dict[str, str] = {}
            while (header := stream.readline().strip()) != b"":
                key, _, value = header.decode().partition(": ")
                headers[key.lower()] = value
            assert "content-encoding" not in headers
            return Answer(status, headers, stream.read(int(headers["content-length"])))


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Go, Feed]]:
    feed, stop = Feed(load_config(None), threading.Event()), threading.Event()
    listener = listening("127.0.0.1", 0)
    application = make(load_config(None), feed, Events(stop))
    server = uvicorn.Server(uvicorn.Config(application, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield Go(listener.getsockname()[1]), feed
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


def walked(feed: Feed, spec: ExperimentSpec, state: State) -> None:
    """Bring the rollout to the state, and the console what its machine writes on the way."""
    feed.state.take(Control(spec.id, 1, "ann", "applied", SpecApplied(spec.source, spec.path, spec.digest)))
    rollout, now_us = Rollout(spec), 1
    for number, kind in enumerate(WAYS[state]):
        cause = rollout.shift.intent_id if kind is K.SHIFTED and rollout.shift else f"{spec.id} {number}"
        event = Event(kind, cause, "why", variant="canary", spec=spec if kind in (K.APPLY, K.QUEUE) else None)
        rollout, actions = step(rollout, event, now_us)
        for action in actions:
            match action:
                case Record(decision):
                    feed.state.take(decision)
                case Tell(control):
                    feed.state.take(control)
                case _:
                    assert rollout.state in SHIFTS
    assert rollout.state is state


def verdict(spec: ExperimentSpec, said: Said, sequence: int = 1, age_us: int = 0) -> Verdict:
    now = Clock().now_us() - age_us
    lives_us = 24 * 3_600_000_000 if said[0] == "ROLLBACK" else 30_000_000
    return Verdict(
        f"{spec.id}-{sequence}", spec.id, "canary", spec.service, spec.environment, 1, sequence, now, now, now + lives_us,
        "rollout", *said, 0, 0.25, f"p99 is {sequence} ms «too high»", (), None, {"t/0": 5}, spec.digest[:32], "davy",
    )  # fmt: skip


@pytest.mark.parametrize("state", list(State))
def test_in_each_state_each_verdict_gets_the_contracts_answers(served: tuple[Go, Feed], state: State) -> None:
    go, feed = served
    for said in SAID[state]:
        action, conclusion = said or (None, None)
        (spec,) = load_specs(TEXT.format(name=f"{state.value}-{action}-{conclusion}".lower()))
        with feed.lock:
            walked(feed, spec, state)
            if said is not None:
                feed.state.take(verdict(spec, said))
        ok, fail, body = go.argo(spec.id)
        assert (ok, fail) == (said in GOOD, action == "ROLLBACK"), spec.id
        assert (body["verdict"] or {}).get("action") == action
        for hook, passing in PASSING.items():
            metadata = {"experiment": spec.id, "eventMessage": "New revision detected! shop.prod", "eventType": "Normal",
                        "timestamp": "1790000000000"}  # fmt: skip
            answer = go.flagger(hook, "shop", "Progressing", metadata)
            assert answer.status == (200 if action in passing else 409), (spec.id, hook)
            assert answer.headers["content-type"].startswith("text/plain")
            if answer.status == 409:
                text = answer.body.decode()
                assert text.startswith(f"{spec.id}"), text
                assert len(text) <= 1000
                assert said is None or ("too high" in text and str(action) in text)


def test_the_name_of_flaggers_canary_is_the_experiment_where_metadata_says_none(served: tuple[Go, Feed]) -> None:
    go, feed = served
    (spec,) = load_specs(TEXT.format(name="by-name"))
    with feed.lock:
        walked(feed, spec, S.BAKING)
        feed.state.take(verdict(spec, ("PROMOTE", "HEALTHY")))
    for metadata in (None, {}, {"cmd": "hey -z 1m http://shop"}):
        assert go.flagger("confirm-promotion", "by-name", "WaitingPromotion", metadata).status == 200
    assert go.flagger("rollout", "nobody", "Progressing").status == 404
    assert go.flagger("event", "nobody", "Initialized").status == 200


def test_a_verdict_that_expired_lets_nothing_go_on_and_a_rollback_stays(served: tuple[Go, Feed]) -> None:
    go, feed = served
    for said, stays in ((("PROMOTE", "HEALTHY"), False), (("ADVANCE", "HEALTHY"), False), (("ROLLBACK", "HARM"), True)):
        (spec,) = load_specs(TEXT.format(name=f"expired-{said[0]}".lower()))
        with feed.lock:
            walked(feed, spec, S.BAKING)
            feed.state.take(verdict(spec, said, age_us=60_000_000))
        assert go.argo(spec.id)[:2] == (False, stays)
        for hook in ("confirm-promotion", "confirm-traffic-increase"):
            answer = go.flagger(hook, spec.id, "Progressing")
            assert answer.status == 409
            assert stays or "expired at" in answer.body.decode()
        assert go.flagger("rollout", spec.id, "Progressing").status == (409 if stays else 200)


def test_the_same_request_again_gets_the_same_answer_and_a_page_of_evidence_is_not_cut(served: tuple[Go, Feed]) -> None:
    """go-retryablehttp repeats after a broken connection; Argo reads bodies whole and parses them as JSON."""
    go, feed = served
    (spec,) = load_specs(TEXT.format(name="again"))
    with feed.lock:
        walked(feed, spec, S.BAKING)
        feed.state.take(replace(verdict(spec, ("ADVANCE", "HEALTHY")), offsets={f"t/{n}": n for n in range(5_000)}))
    with socket.create_connection(("127.0.0.1", go.port), 5) as broken:  # it is gone before it was answered
        broken.sendall(b"POST /v1/flagger/rollout HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{")
    begun = time.monotonic()
    answers = [go.flagger("confirm-traffic-increase", "again", "Progressing") for _ in range(5)]
    assert {answer.status for answer in answers} == {200}
    ok, fail, body = go.argo("again")
    assert (ok, fail, body["verdict"]["verdict_id"]) == (True, False, "again-1")
    assert len(json.dumps(body)) <= 16 * 1024
    assert time.monotonic() - begun < 2 * 6, "each within 2 s"
