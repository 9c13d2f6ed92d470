"""The console's answers, over a state that was put together by hand."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from davy.web.answers import ARGO_BYTES_MAX, HOOKS, changes
from davy.web.app import make
from davy.web.events import Events
from davy.web.feed import Feed
from davy.web.metrics import Rollouts
from schemas.budget import BudgetBurn, BudgetStatus
from schemas.change import Carrier, ChangeEvent, Link
from schemas.codec import micros
from schemas.config import load_config
from schemas.control import Annotation, Command, Control, SpecApplied, WeightApplied
from schemas.decision import Decision
from schemas.verdict import Evidence, Verdict
from schemas.window import WindowSummary
from streams import kafka
from streams import scenario as scenarios
from streams.clock import Clock
from streams.embedded import EmbeddedBroker
from streams.topics import ensure_topics
from tests.davy import scenes

SPEC = scenarios.load("errors").spec
ID = SPEC.id
HERE = {"Content-Type": "application/json"}


def verdict(action: str, conclusion: str, sequence: int = 1, age_us: int = 0, epoch: int = 1) -> Verdict:
    now = Clock().now_us() - age_us
    row = Evidence(
        "errors", "canary", 0.01, 0.02, 0.01, 0.0, None, 12.5, 2.5, 400.0, 0.3, 20.0, 1000, 100, "OPEN"
    )  # fmt: skip
    return Verdict(
        f"id-{sequence}", ID, "canary", SPEC.service, SPEC.environment, epoch, sequence, now, now, now + 30_000_000,
        "rollout", action, conclusion, 0, 0.1, "because of this", (row,), None, {"t/0": 5}, SPEC.digest[:32] + "-x", "davy",  # pyright: ignore
    )  # fmt: skip


def window(start: int, variant: str) -> WindowSummary:
    return WindowSummary(
        ID, SPEC.service, SPEC.environment, "2.3.1", variant, start, start + 5_000_000, 100, 1, 10.0, 9.0, 11.0, 12.0, 13.0,
        14.0, 100.0, 0, 0, {}, 1,
    )  # fmt: skip


@pytest.fixture
def feed() -> Feed:
    made = Feed(load_config(None), threading.Event())
    made.state.take(Control(ID, 1, "ann", "applied", SpecApplied(SPEC.source, SPEC.path, SPEC.digest)))
    return made


@pytest.fixture
def client(feed: Feed) -> TestClient:
    return TestClient(make(load_config(None), feed, Events(threading.Event())))


def test_it_lives_but_is_not_ready_before_the_stream_moves(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"ok": True}
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["ready"] is False
    assert "davy run ingest" in answer.json()["roles"]["ingest"]["reason"]
    assert "sink" not in answer.json()["roles"], "a role that never ran is not missed"


def test_experiments_and_their_records_come_in_pages(client: TestClient, feed: Feed) -> None:
    feed.state.take(Control(ID, 2, "r", "w", WeightApplied("i", 0, {"control": 0.9, "canary": 0.1})))
    for number in range(5):
        feed.state.take(window(number * 5_000_000, "control"))
    feed.state.take(verdict("CONTINUE", "INCONCLUSIVE"))
    feed.state.take(Decision(
        "d", ID, "s", "e", 1, 5, "apply", "DONE", "ann", "why", None, None, 1, "a", "b", 0, {"control": 1.0}, {}, None, "davy",
    ))  # fmt: skip
    (found,) = client.get("/v1/experiments").json()["items"]
    assert (found["id"], found["verdict"]["action"], found["weights"]) == (
        ID,
        "CONTINUE",
        {"control": 0.9, "canary": 0.1},
    )
    detail = client.get(f"/v1/experiments/{ID}").json()
    assert detail["verdicts"]["canary"]["evidence"][0]["sli"] == "errors"
    first = client.get(f"/v1/experiments/{ID}/windows?limit=2").json()
    assert (len(first["items"]), first["next"]) == (2, 2)
    rest = client.get(f"/v1/experiments/{ID}/windows?limit=2&cursor=4").json()
    assert (len(rest["items"]), rest["next"]) == (1, None)
    assert first["items"][0]["start"] > rest["items"][0]["start"]
    assert client.get(f"/v1/experiments/{ID}/verdicts").json()["items"][0]["verdict_id"] == "id-1"
    assert client.get(f"/v1/decisions?experiment={ID}").json()["items"][0]["kind"] == "apply"


@pytest.mark.parametrize(
    "path", ["/v1/nope", "/v1/experiments/nobody", "/v1/experiments/nobody/windows", "/v1/argo/nobody"]
)
def test_what_is_not_there_is_json_not_the_page(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"]


@pytest.mark.parametrize(
    ("action", "conclusion", "age_us", "good", "bad"),
    [
        ("CONTINUE", "HEALTHY", 0, True, False), ("CONTINUE", "INCONCLUSIVE", 0, False, False),
        ("ADVANCE", "HEALTHY", 0, True, False), ("PROMOTE", "HEALTHY", 0, True, False),
        ("HOLD", "NO_DATA", 0, False, False), ("ROLLBACK", "HARM", 0, False, True),
        ("PROMOTE", "HEALTHY", 31_000_000, False, False), ("ROLLBACK", "HARM", 31_000_000, False, False),
    ],
)  # fmt: skip
def test_argo(client: TestClient, feed: Feed, action: str, conclusion: str, age_us: int, good: bool, bad: bool) -> None:
    feed.state.take(verdict(action, conclusion, age_us=age_us))
    answer = client.get(f"/v1/argo/{ID}").json()
    assert (answer["ok"], answer["fail"]) == (good, bad)
    assert answer["verdict"]["action"] == action


def test_argos_body_is_never_cut(client: TestClient, feed: Feed) -> None:
    base = verdict("CONTINUE", "HEALTHY")
    rows = tuple(replace(base.evidence[0], sli=f"s{i:03d}-{'x' * 80}") for i in range(100))
    feed.state.take(replace(base, evidence=rows))
    answer = client.get(f"/v1/argo/{ID}")
    assert len(answer.content) <= ARGO_BYTES_MAX
    assert answer.json()["ok"] is True
    assert client.get(f"/v1/argo/{ID}?variant=nobody").status_code == 404


@pytest.mark.parametrize("hook", sorted(HOOKS))
@pytest.mark.parametrize("action", ["CONTINUE", "ADVANCE", "PROMOTE", "HOLD", "ROLLBACK"])
def test_flagger(client: TestClient, feed: Feed, hook: str, action: str) -> None:
    feed.state.take(verdict(action, "HEALTHY"))
    answer = client.post(
        f"/v1/flagger/{hook}", json={"name": ID, "namespace": "n", "phase": "Progressing", "checksum": "c"}
    )
    passing = {
        "rollout": action != "ROLLBACK", "pre-rollout": action != "ROLLBACK", "confirm-rollout": action != "ROLLBACK",
        "confirm-traffic-increase": action in ("ADVANCE", "PROMOTE"), "confirm-promotion": action == "PROMOTE",
        "rollback": action == "ROLLBACK", "event": True, "post-rollout": True,
    }[hook]  # fmt: skip
    assert answer.status_code == (200 if passing else 409)
    assert passing or (action in answer.text and len(answer.text) <= 1000)


def test_flaggers_experiment_is_its_metadatas(client: TestClient, feed: Feed) -> None:
    feed.state.take(verdict("PROMOTE", "HEALTHY"))
    body = {"name": "other", "namespace": "n", "phase": "p", "checksum": "c"}
    assert client.post("/v1/flagger/rollout", json=body).status_code == 404
    assert client.post("/v1/flagger/event", json=body).status_code == 200
    assert client.post("/v1/flagger/rollout", json=body | {"metadata": {"experiment": ID}}).status_code == 200
    assert client.post("/v1/flagger/nothing", json=body).status_code == 404
    assert client.post("/v1/flagger/rollout", content=b"{", headers=HERE).status_code == 400


def test_an_old_judges_verdict_changes_nothing(client: TestClient, feed: Feed) -> None:
    feed.state.take(verdict("HOLD", "INVALID", sequence=3, epoch=2))
    feed.state.take(verdict("PROMOTE", "HEALTHY", sequence=9, epoch=1))
    assert client.get(f"/v1/argo/{ID}").json()["verdict"]["action"] == "HOLD"
    assert feed.state.refused == 1


def test_the_page_brings_everything_itself(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    for name in ("app.js", "chart.js", "style.css", "lamp.svg"):
        assert client.get(f"/{name}").status_code == 200
    assert "http" not in answer.text.replace("http-equiv", "")
    assert client.get("/secret.txt").status_code == 404


def test_who_asks_again_is_told_only_what_changed(client: TestClient, feed: Feed) -> None:
    for path in ("/v1/experiments", f"/v1/experiments/{ID}", f"/v1/experiments/{ID}/verdicts", "/v1/decisions"):
        tag = {"If-None-Match": client.get(path).headers["etag"]}
        again = client.get(path, headers=tag)
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag["If-None-Match"])
    tag = {"If-None-Match": client.get("/v1/experiments").headers["etag"]}
    feed.state.take(verdict("HOLD", "INVALID"))
    assert client.get("/v1/experiments", headers=tag).json()["items"][0]["verdict"]["action"] == "HOLD"


def test_the_list_tells_each_change_once(feed: Feed) -> None:
    assert [experiment.spec.id for experiment in feed.state.since(0)] == [ID]
    seen = feed.state.revision
    assert list(feed.state.since(seen)) == []
    feed.state.take(window(5_000_000, "control"))
    assert list(feed.state.since(seen)) == [], "windows are not on the list"
    feed.state.take(verdict("HOLD", "INVALID"))
    assert [experiment.spec.id for experiment in feed.state.since(seen)] == [ID]


def test_commands_need_the_token_and_a_sound_body(feed: Feed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "davy.yaml"
    monkeypatch.setenv("TOKEN", "s3cret")
    path.write_text("http: {token: '${TOKEN}'}\n")
    config = load_config(path)
    client = TestClient(make(config, feed, Events(threading.Event())))
    url, body = f"/v1/experiments/{ID}/commands", {"command": "pause", "reason": "why", "actor": "ann"}
    assert client.post(url, json=body).status_code == 401
    assert client.post(url, json=body, headers={"Authorization": "Bearer wrong"}).status_code == 401
    good = {"Authorization": "Bearer s3cret"}
    for wrong in ({**body, "command": "explode"}, {**body, "reason": ""}, {**body, "more": 1}, {"command": "pause"}):
        answer = client.post(url, json=wrong, headers=good)
        assert answer.status_code == 400
        assert answer.json()["error"]
    assert client.post(url, json=body, headers={**good, "Origin": "http://evil.example"}).status_code == 403
    assert client.post(url, content=b"x" * 70_000, headers=good).status_code == 413


def test_specs_are_put_in_force_by_post_all_or_none(
    client: TestClient, tmp_path: Path, tansu: EmbeddedBroker, feed: Feed
) -> None:
    path = tmp_path / "davy.yaml"
    path.write_text(f"kafka: {{bootstrap.servers: '{tansu.bootstrap}'}}\nembedded: true\n")
    config = load_config(path)
    ensure_topics(config)
    posting = TestClient(make(config, feed, Events(threading.Event())))
    good, bad = SPEC.source, SPEC.source.replace(f"id: {ID}", "id: -other")
    answer = posting.post("/v1/experiments", content=f"{good}\n---\n{bad}")
    assert (answer.status_code, answer.json()["findings"][0].startswith("request:")) == (400, True)
    answer = posting.post("/v1/experiments?actor=ann&reason=by%20hand", content=good)
    assert (answer.status_code, answer.json()) == (202, {"accepted": True, "experiments": [ID]})
    (message,) = kafka.to_end(config, config.topic("control"), "test")
    record = Control.decode(message.value() or b"")
    assert (record.actor, record.reason, type(record.body)) == ("ann", "by hand", SpecApplied)
    assert client.post("/v1/experiments", content=b"\xff").status_code == 400


def test_annotations_and_commands_are_taken_into_the_state(client: TestClient, feed: Feed) -> None:
    feed.state.take(Control("annotations", micros("2026-01-01T00:00:00Z"), "http", "a", Annotation("deploy", ("x",))))
    feed.state.take(Control(ID, 5, "ann", "why", Command("c", "pause")))
    (item,) = client.get("/v1/annotations").json()["items"]
    assert (item["time"], item["body"]["text"]) == ("2026-01-01T00:00:00.000000Z", "deploy")
    assert json.dumps(item, allow_nan=False)


def test_changes_are_told_once_each_as_their_last_verdict_has_them() -> None:
    def said(sequence: int, begun: int) -> Verdict:
        carriers = (Carrier("segment", "eu", 0.92, 0.005, 0.09),)
        change = ChangeEvent("errors", begun, begun, begun, 0.005, 0.03, carriers, (Link(4, "annotation", "deploy"),))
        return replace(scenes.verdict("CONTINUE", sequence, phase="watch"), change=change)

    told = changes([scenes.verdict("CONTINUE"), said(2, 7), said(3, 7), said(4, 9)])
    assert [(one["begun_at"][-4:], one["verdict_id"]) for one in told] == [("009Z", "id-4"), ("007Z", "id-3")]
    assert (told[0]["carriers"][0]["value"], told[0]["links"][0]["text"]) == ("eu", "deploy")


def status(slo: str, left: float, service: str = SPEC.service, at: int = 1) -> BudgetStatus:
    burn = BudgetBurn("page", 14.4, 3_600_000_000, 300_000_000, 15.5, None, False)
    return BudgetStatus(
        slo, service, SPEC.environment, at, 0.999, 30 * 86_400_000_000, None, 5, 100, 3, 4.0, left, "TICKET", 1, (burn,),
        {"2.4.0": 0.25}, f"{left:.0%} is left",
    )  # fmt: skip


def test_error_budgets_are_told_the_least_left_first(client: TestClient, feed: Feed) -> None:
    for told in (status("a", 0.5), status("b", -0.5), status("b", 0.9, at=0), status("c", 0.1, "other")):
        feed.state.take(told)
    assert [each["slo"] for each in client.get("/v1/budgets").json()["items"]] == ["b", "c", "a"]
    (own,) = client.get("/v1/budgets?service=other").json()["items"]
    assert (own["slo"], own["burns"][0]["long"], own["time"]) == ("c", 15.5, "1970-01-01T00:00:00.000001Z")
    detail = client.get(f"/v1/experiments/{ID}").json()
    assert [(each["slo"], each["left"], each["alert"]) for each in detail["error_budgets"]] == [
        ("b", -0.5, "TICKET"), ("a", 0.5, "TICKET"),
    ]  # fmt: skip
    samples = {
        (
            sample.name,
            sample.labels.get("slo"),
            sample.labels.get("severity"),
            sample.labels.get("factor"),
        ): sample.value
        for metric in Rollouts(feed).collect()
        for sample in metric.samples
    }
    assert samples["davy_error_budget_left", "b", None, None] == -0.5
    assert samples["davy_error_budget_burn", "a", None, "14.4"] == 15.5
    assert samples["davy_error_budget_alert", "a", "ticket", None] == 1
    assert samples["davy_error_budget_alert", "a", "page", None] == 0


def test_changes_of_services_without_an_experiment_are_listed(client: TestClient, feed: Feed) -> None:
    change = ChangeEvent("errors", 7_000_000, 5_000_000, 9_000_000, 0.005, 0.03)
    told = replace(verdict("HOLD", "HARM"), experiment_id="watch.cart.prod", service="cart", phase="watch", variant="2")
    feed.state.take(replace(told, change=change))
    feed.state.take(replace(told, change=change, sequence=2, verdict_id="2", conclusion="HEALTHY", action="CONTINUE"))
    feed.state.take(replace(told, experiment_id="gone", change=change))
    (item,) = client.get("/v1/changes").json()["items"]
    assert (item["service"], item["variant"], item["sli"], item["kind"]) == ("cart", "2", "errors", "change")
    assert item["conclusion"] == "HEALTHY", "as it was told last"
    assert client.get("/v1/changes?service=other").json()["items"] == []
    assert [one["id"] for one in client.get("/v1/experiments").json()["items"]] == [ID]
