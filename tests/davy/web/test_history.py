"""What a real store, embedded or a server, tells of a span of time."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from davy.web.app import make
from davy.web.events import Events
from davy.web.feed import Feed
from davy.web.history import POINTS_MAX, span
from schemas.codec import iso, micros
from schemas.config import Config
from schemas.control import Annotation, Control
from streams.sinks import open_store
from streams.sinks.rows import READERS
from tests.streams.sinks import records
from tests.streams.sinks.conftest import config, server_url

__all__ = ["config", "server_url"]
MINUTE, HOUR, DAY = 60_000_000, 3_600_000_000, 86_400_000_000
BEGIN = records.BEGIN_US // DAY * DAY
ID = records.EXPERIMENT.id
CPU = records.EXPERIMENT.slis[0].model_copy(update={"name": "cpu", "type": "resource_mean", "field": "cpu_us"})
SPEC = records.EXPERIMENT.model_copy(update={"slis": (*records.EXPERIMENT.slis, CPU)})
STARTS = [*(n * 5_000_000 for n in range(120)), DAY, 40 * DAY]
"""Of windows of both arms, after `BEGIN`: ten minutes, then two more days."""


def fill(into: Config) -> None:
    with open_store(into) as store:
        store.migrate(["cpu_us", "memory_bytes"])
        told = [("control", records.applied(BEGIN))]
        for start in STARTS:
            for variant, rows in (("control", 90), ("canary", 10)):
                one = records.window(0, variant, rows=rows, cpu_us=100.0 + rows)
                told.append(("windows", replace(one, start=BEGIN + start, end=BEGIN + start + 5_000_000)))
        before = records.window(0, None, rows=1000)
        told.append(
            ("windows", replace(before, experiment_id=None, start=BEGIN - 30 * DAY, end=BEGIN - 30 * DAY + 5_000_000))
        )
        for n, action in enumerate(("CONTINUE", "CONTINUE", "HOLD", "CONTINUE", "ROLLBACK")):
            one = records.verdict(n, action)  # pyright: ignore[reportArgumentType]
            told.append(("verdicts", replace(one, event_time=BEGIN + n * MINUTE)))
        told.append(("decisions", replace(records.decision(), time=BEGIN + MINUTE)))
        told.append(("control", Control("annotations", BEGIN + 2 * MINUTE, "bob", "", Annotation("failover", ("a",)))))
        for topic, record in told:
            for table, rows in READERS[topic](record.encode()).items():
                store.insert(table, rows)
        store.roll_up(BEGIN - 30 * DAY, BEGIN + 41 * DAY)


@pytest.fixture
def client(config: Config) -> TestClient:
    feed = Feed(config, threading.Event())
    feed.state.take(records.applied(BEGIN))
    feed.state.experiments[ID].spec = SPEC
    return TestClient(make(config, feed, Events(threading.Event())))


def test_a_span_is_told_in_steps_that_fit(config: Config, client: TestClient) -> None:
    fill(config)
    url = f"/v1/experiments/{ID}/history"
    ten = {"from": iso(BEGIN), "to": iso(BEGIN + 10 * MINUTE)}
    answer = client.get(url, params=ten | {"points": 20})
    told = answer.json()
    assert (answer.status_code, told["fault"], told["source"], told["step_s"]) == (200, None, "windows_10s", 30)
    assert len(told["windows"]) == 2 * 20
    canary = [each for each in told["windows"] if each["variant"] == "canary"]
    first = canary[0]
    assert (first["start"], first["end"]) == (iso(BEGIN), iso(BEGIN + 30_000_000))
    assert (first["rows"], first["errors"], first["requests"], first["p99_us"]) == (60, 6, 60.0, 4000.0)
    assert first["p999_us"] is None
    assert first["measures"] == {"cpu_us": 110.0}
    assert sum(each["rows"] for each in canary) == 1200, "nothing is left out and nothing counts twice"
    assert {(each["variant"], each["sli"]) for each in told["evidence"]} == {
        ("canary", "errors"),
        ("canary", "traffic"),
    }
    assert [each["action"] for each in told["verdicts"]] == ["CONTINUE", "HOLD", "CONTINUE", "ROLLBACK"]
    assert told["verdicts"][0]["event_time"] == iso(BEGIN)
    assert [(each["kind"], each["weights"]) for each in told["decisions"]] == [
        (records.decision().kind, dict(records.decision().weights))
    ]
    (note,) = told["annotations"]
    assert (note["time"], note["actor"], note["body"]) == (
        iso(BEGIN + 2 * MINUTE), "bob", {"text": "failover", "tags": ["a"]},
    )  # fmt: skip
    assert told["held"] == {"from": iso(BEGIN - 30 * DAY), "to": iso(BEGIN + 40 * DAY + HOUR)}
    assert (
        client.get(url, params=ten | {"points": 20}, headers={"If-None-Match": answer.headers["etag"]}).status_code
        == 304
    )


def test_months_are_told_by_the_day_and_with_what_was_before(config: Config, client: TestClient) -> None:
    fill(config)
    url = f"/v1/experiments/{ID}/history"
    whole = {"from": iso(BEGIN - 31 * DAY), "to": iso(BEGIN + 42 * DAY), "points": 100}
    told = client.get(url, params=whole).json()
    assert (told["source"], told["step_s"]) == ("windows_1d", 86_400)
    shown = [(each["variant"], micros(each["start"]) // DAY - BEGIN // DAY, each["rows"]) for each in told["windows"]]
    assert shown == [
        (None, -30, 1000), ("canary", 0, 1200), ("control", 0, 10_800), ("canary", 1, 10), ("control", 1, 90),
        ("canary", 40, 10), ("control", 40, 90),
    ]  # fmt: skip
    assert all(each["measures"] == {} for each in told["windows"])
    since = client.get(url, params={"to": iso(BEGIN + 10 * MINUTE)}).json()
    assert (since["from"], since["windows"][0]["variant"]) == (iso(BEGIN), "canary"), (
        "since the first of its own windows"
    )


def test_old_verdicts_come_from_the_store(config: Config, client: TestClient) -> None:
    fill(config)
    url = f"/v1/experiments/{ID}/verdicts"
    assert client.get(url).json()["items"] == [], "the console itself knows none"
    old = replace(records.verdict(2, "HOLD"), event_time=BEGIN + 2 * MINUTE)
    told = client.get(f"{url}/{old.verdict_id}").json()
    assert (told["verdict_id"], told["action"], told["evidence"]) == (old.verdict_id, "HOLD", old.to_json()["evidence"])
    assert client.get(f"{url}/00000000-0000-0000-0000-000000000000").status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"from": "yesterday"}, {"from": "2026-01-02", "to": "2026-01-01"}, {"from": "1969-01-01"}, {"to": "2300-01-01"},
        {"from": "1970-01-01", "to": "2026-01-01"}, {"points": POINTS_MAX + 1}, {"points": 1},
    ],
)  # fmt: skip
def test_spans_that_make_no_sense_are_refused(wrong: dict[str, str]) -> None:
    feed = Feed(Config(), threading.Event())
    feed.state.take(records.applied(BEGIN))
    client = TestClient(make(Config(), feed, Events(threading.Event())))
    answer = client.get(f"/v1/experiments/{ID}/history", params=wrong)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_without_a_store_it_says_so(tmp_path_factory: pytest.TempPathFactory) -> None:
    nowhere = Config().with_data_dir(tmp_path_factory.mktemp("empty"))
    feed = Feed(nowhere, threading.Event())
    feed.state.take(records.applied(BEGIN))
    client = TestClient(make(nowhere, feed, Events(threading.Event())))
    url = f"/v1/experiments/{ID}/history"
    answer = client.get(url)
    assert (answer.status_code, "there is no store" in answer.json()["error"]) == (503, True)
    told = client.get(url, params={"report": True})
    assert (told.status_code, "there is no store" in told.json()["fault"]) == (200, True)
    assert client.get("/v1/experiments/nobody/history").status_code == 404


def test_what_retention_removed_is_told_more_coarsely() -> None:
    kept = Config.model_validate({"retention": {"windows_10s": "1d", "windows_1m": "7d"}})
    now = 100 * DAY
    for ago, source in ((HOUR, "windows_10s"), (2 * DAY, "windows_1m"), (30 * DAY, "windows_1h")):
        found = span(kept, now - ago, now - ago + HOUR, 500, now)
        assert found.source == source
    assert span(Config(), now - 30 * DAY, now - 30 * DAY + HOUR, 500, now).source == "windows_10s"


def test_what_was_learned_is_found_by_words(config: Config, client: TestClient) -> None:
    fill(config)
    answer = client.get("/v1/reports")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    (item,) = told["items"]
    assert (item["experiment_id"], item["began"], item["service"], told["next"]) == (ID, iso(BEGIN), "checkout", None)
    assert item["hypothesis"] == SPEC.hypothesis
    words = f"{SPEC.owner or ID} {records.decision().reason.split()[0]}".upper()
    assert client.get("/v1/reports", params={"find": words}).json()["items"] == [item]
    assert client.get("/v1/reports", params={"find": "no'such \\word"}).json()["items"] == []
    assert client.get("/v1/reports", params={"find": "x" * 201}).status_code == 400
