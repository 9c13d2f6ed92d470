"""Other systems are told what was done, from a real ledger to real HTTP receivers that fail, hang and come back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy import notifier as module
from deploy.ledger import Chain
from deploy.notifier import LedgerNotifier
from deploy.notify import adapters, http_json, notifiers
from schemas.config import Config, load_config, parse_config
from schemas.control import Control, SpecApplied
from schemas.decision import Decision
from schemas.errors import UserError
from schemas.spec import load_specs
from streams import kafka
from streams.embedded import EmbeddedBroker
from streams.topics import ensure_topics
from tests.support.receiver import Call, Receiver, receiver
from tests.support.system import until

(SPEC,) = load_specs("""\
id: checkout-2.4.0
hypothesis: The new cache cuts p99 latency.
service: checkout
environment: production
variants:
  control: {version: 2.3.1}
  canary: {version: 2.4.0}
slis:
  - {name: errors, type: error_ratio, max_increase: 1pp}
steps:
  - {weight: 25%, duration: 1m}
""")
OLD, NEW = {"control": 1.0, "canary": 0.0}, {"control": 0.0, "canary": 1.0}
STEP = {"control": 0.75, "canary": 0.25}


class Ledger:
    """Writes decisions as the rollout role does."""

    def __init__(self, config: Config) -> None:
        self.config, self.chain = config, Chain()
        self.producer = kafka.producer(config)
        applied = Control(SPEC.id, 1, "ann", "applied", SpecApplied(SPEC.source, SPEC.path, SPEC.digest))
        self._send("control", applied.encode())

    def add(self, kind: str, weights: dict[str, float], outcome: Any = "DONE", at_us: int | None = None) -> Decision:
        number = self.chain.length + 1
        self.chain, decision = self.chain.add(Decision(
            f"d{number}", SPEC.id, SPEC.service, SPEC.environment, 0, at_us or time.time_ns() // 1000, kind, outcome, "ann",
            f"because {number}", None, "canary", 1, "baking", "baking", 0, weights, {}, SPEC.digest, "davy",
        ))  # fmt: skip
        self._send("decisions", decision.encode())
        return decision

    def _send(self, topic: str, value: bytes) -> None:
        self.producer.produce(self.config.topic(topic), value, SPEC.id.encode())
        assert self.producer.flush(10) == 0


@pytest.fixture
def ledger(tmp_path: Path, tansu: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.setattr(module, "PAUSE_FIRST_S", 0.01)
    path = tmp_path / "davy.yaml"
    path.write_text(
        f"kafka: {{bootstrap.servers: '{tansu.bootstrap}'}}\nembedded: true\ndata_dir: {tmp_path / 'data'}\n"
    )
    config = load_config(path)
    ensure_topics(config)
    return Ledger(config)


@contextmanager
def telling(ledger: Ledger, *entries: dict[str, Any]) -> Iterator[None]:
    """As the role does: a thread for each entry of `notify:`."""
    halt = threading.Event()
    config = ledger.config.model_copy(update={"notify": entries})
    threads = [LedgerNotifier(config, made, lambda: time.time_ns() // 1000, halt) for made in notifiers(config)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        halt.set()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()


def types(got: Receiver) -> list[str]:
    return [call.headers["ce-type"].split(".")[3] for call in got.calls]


def test_every_kind_is_found_and_a_wrong_entry_is_told() -> None:
    assert sorted(adapters()) == ["cdevents", "github"]
    for entry, sentence in (
        ("{type: cdevent, url: 'http://x'}", "davy.yaml: notify[0]: type 'cdevent' is unknown: did you mean cdevents?"),
        ("{type: cdevents, url: x}", "davy.yaml: notify[0] (cdevents): url: "),
        ("{type: github, repository: no, token: x}", "davy.yaml: notify[0] (github): repository: "),
    ):
        with pytest.raises(UserError) as raised:
            notifiers(parse_config(f"notify: [{entry}]\n", "davy.yaml"))
        assert str(raised.value).startswith(sentence)


def test_cdevents_come_in_order_once_each_and_again_after_a_failure(ledger: Ledger) -> None:
    ledger.add("apply", STEP, at_us=1)  # long before anybody listened
    statuses = [500, 503]
    with receiver(lambda _: (statuses.pop(0) if statuses else 202, None)) as got:
        entry = {"type": "cdevents", "url": f"{got.url}/events"}
        with telling(ledger, entry):
            first = ledger.add("apply", STEP)
            ledger.add("promote", NEW, outcome="PLANNED")
            ledger.add("hold", STEP)
            ledger.add("promote", NEW)
            until(lambda: len(got.calls) == 4, 20, "both were told")
        assert types(got) == ["deployed", "deployed", "deployed", "upgraded"]
        assert len({call.headers["ce-id"] for call in got.calls[:3]}) == 1
        ledger.add("rollback", OLD)
        with telling(ledger, entry):  # another process: it goes on where the first was
            until(lambda: len(got.calls) == 5, 20, "the rollback was told")
    told, back = got.calls[0], got.calls[4].body
    assert told.path == "/events"
    assert {name: told.headers[name] for name in ("ce-specversion", "ce-type", "ce-subject", "content-type")} == {
        "ce-specversion": "1.0", "ce-type": "dev.cdevents.service.deployed.0.2.0", "ce-subject": "checkout",
        "content-type": "application/json",
    }  # fmt: skip
    # as the published schema of the event asks for, no field more
    assert told.body["context"].keys() == {"version", "id", "source", "type", "timestamp"}
    assert told.body["context"]["id"] == told.headers["ce-id"] == f"{first.decision_id}-canary"
    assert told.body["subject"] == {
        "id": "checkout", "source": "/davy/rollout", "type": "service",
        "content": {"environment": {"id": "production"}, "artifactId": "pkg:generic/checkout@2.4.0"},
    }  # fmt: skip
    assert told.body["customData"]["weights"] == STEP
    assert back["context"]["type"] == "dev.cdevents.service.rolledback.0.2.0"
    assert back["subject"]["content"]["artifactId"] == "pkg:generic/checkout@2.3.1"


def test_a_receiver_that_hangs_holds_nobody_up_and_is_told_once_it_answers(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_json, "TIMEOUT_S", 2.0)
    answers = threading.Event()

    def hang(_: Call) -> tuple[int, None]:
        answers.wait(30)
        return 200, None

    with receiver(hang) as slow, receiver() as quick:
        entries = [{"type": "cdevents", "url": got.url} for got in (slow, quick)]
        with telling(ledger, *entries):
            ledger.add("apply", STEP)
            ledger.add("promote", NEW)
            until(lambda: types(quick) == ["deployed", "upgraded"], 20, "who answers was told")
            until(lambda: types(slow)[:1] == ["deployed"], 20, "who hangs was called")
            assert "upgraded" not in types(slow)
        answers.set()
        slow.calls.clear()
        with telling(ledger, *entries):
            until(lambda: types(slow) == ["deployed", "upgraded"], 20, "what it had not taken was told")
    assert types(quick) == ["deployed", "upgraded"]


def test_one_that_never_takes_it_is_given_up_and_the_next_follows(ledger: Ledger) -> None:
    def answer(call: Call) -> tuple[int, None]:
        return (400 if "deployed" in call.headers["ce-type"] else 200), None

    with receiver(answer) as got, telling(ledger, {"type": "cdevents", "url": got.url}):
        ledger.add("apply", STEP)
        ledger.add("rollback", OLD)
        until(lambda: types(got)[-1:] == ["rolledback"], 20, "the next was told")
    assert types(got) == ["deployed"] * module.TRIES + ["rolledback"]


def test_a_github_deployment_follows_the_rollout(ledger: Ledger) -> None:
    """Its REST interface as documented: deployments are found by task, ref and environment, statuses are added."""
    made: list[dict[str, Any]] = []
    statuses: list[tuple[int, dict[str, Any]]] = []

    def answer(call: Call) -> tuple[int, Any]:
        if call.headers.get("authorization") != "Bearer t0ken":
            return 401, {"message": "Bad credentials"}
        path, _, query = call.path.partition("?")
        if path == "/repos/example/checkout/deployments":
            if call.method == "GET":
                wanted = "task=davy%3Acheckout-2.4.0%3Acanary&environment=production&ref=v2.4.0"
                assert query == wanted
                return 200, [{"id": number + 1} for number in reversed(range(len(made)))]
            made.append(call.body)
            return 201, {"id": len(made)}
        statuses.append((int(path.split("/")[-2]), call.body))
        return 201, {"id": 1}

    entry = {"type": "github", "repository": "example/checkout", "token": "t0ken", "ref": "v{version}"}
    with receiver(answer) as got, telling(ledger, {**entry, "api": got.url}):
        ledger.add("apply", STEP)
        ledger.add("promote", NEW)
        ledger.add("rollback", OLD)
        ledger.add("abort", OLD)
        until(lambda: len(statuses) == 4, 20, "all four were told")
    assert [(body["ref"], body["auto_merge"], body["required_contexts"], body["production_environment"]) for body in made] == [
        ("v2.4.0", False, [], True)
    ]  # fmt: skip
    assert [(number, body["state"], body["environment"]) for number, body in statuses] == [
        (1, "in_progress", "production"), (1, "success", "production"), (1, "failure", "production"),
        (1, "inactive", "production"),
    ]  # fmt: skip
    assert statuses[1][1]["description"] == "because 2"
