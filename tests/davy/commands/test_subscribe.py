"""`davy subscribe` as a deployer uses it: a command or a URL, absence, forgery, failure, and kill -9 while it applies."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from schemas.config import Config, load_config
from schemas.decision import Decision
from schemas.signature import HEADER, Signer, Signing
from schemas.verdict import Verdict
from streams import kafka
from streams.embedded import EmbeddedBroker
from streams.topics import ensure_topics
from tests.deploy.verdicts import verdict
from tests.support.signing import indented, key_pair
from tests.support.system import until

PRIVATE, PUBLIC = key_pair()
JUDGE = Signer.of(Signing.model_validate({"key_id": "judge", "private_key": PRIVATE}))


@pytest.fixture
def config(tmp_path: Path, tansu: EmbeddedBroker) -> Config:
    path = tmp_path / "davy.yaml"
    path.write_text(
        f"kafka: {{bootstrap.servers: '{tansu.bootstrap}'}}\nembedded: true\ndata_dir: {tmp_path / 'data'}\n"
        f"signing:\n  public_keys:\n    judge: {indented(PUBLIC, 6)}"
    )
    made = load_config(path)
    ensure_topics(made)
    return made


def say(config: Config, *verdicts: Verdict, signed: bool = True) -> None:
    assert JUDGE is not None
    producer = kafka.producer(config)
    for said in verdicts:
        value = said.encode()
        headers = cast("Any", {HEADER: JUDGE.sign("Verdict", value)} if signed else {})
        producer.produce(config.topic("verdicts"), value, said.experiment_id.encode(), headers=headers)
    assert producer.flush(10) == 0


def now_us() -> int:
    return time.time_ns() // 1000


def command(folder: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "davy", "subscribe", *arguments, "--config", str(folder / "davy.yaml")]


def subscribe(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(folder, *arguments), capture_output=True, text=True, timeout=60, check=False)


def ledger(config: Config) -> list[Decision]:
    return [Decision.decode(message.value() or b"") for message in kafka.to_end(config, config.topic("decisions"), "t")]


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_after_an_absence_the_latest_is_applied_once_and_what_is_wrong_is_told_and_ledgered(
    tmp_path: Path, config: Config
) -> None:
    out, begin = tmp_path / "out", now_us() - 3_600_000_000
    say(config, *(verdict("CONTINUE", number + 1, at_us=begin + number * 5_000_000) for number in range(720)))
    say(config, verdict("ADVANCE", 721, at_us=now_us()), verdict("CONTINUE", 1, at_us=now_us(), experiment="other"))
    say(config, verdict("PROMOTE", 722, at_us=now_us()), signed=False)
    apply = f'echo "$DAVY_EXPERIMENT $DAVY_ACTION $DAVY_SEQUENCE $DAVY_ATTEMPT" >> {out}; cat > {out}.json'
    first = subscribe(tmp_path, "e", "--exec", apply, "--once")
    assert (first.returncode, lines(out)) == (0, ["e ADVANCE 721 1"]), first.stderr
    assert "refused  e canary #722 PROMOTE: it is not signed" in first.stdout
    assert json.loads((tmp_path / "out.json").read_text())["action"] == "ADVANCE"
    again = subscribe(tmp_path, "e", "--exec", apply, "--once")
    assert (again.returncode, again.stdout, lines(out)) == (0, "", ["e ADVANCE 721 1"])
    say(config, verdict("HOLD", 700, at_us=now_us()), verdict("ROLLBACK", 723, at_us=now_us()))
    third = subscribe(tmp_path, "e", "--exec", apply, "--once", "--json")
    assert [json.loads(line)["outcome"] for line in third.stdout.splitlines()] == ["refused", "applied"]
    assert lines(out)[1:] == ["e ROLLBACK 723 1"]
    assert [(d.outcome, d.actor, d.reason) for d in ledger(config)] == [
        ("REFUSED", "subscriber default", "refused: it is not signed"),
        ("REFUSED", "subscriber default", "refused: its sequence 700 is not above 721: it was said before"),
    ]


def test_the_watch_of_services_asks_nothing_of_a_deployer_who_does_not_name_it(tmp_path: Path, config: Config) -> None:
    out = tmp_path / "out"
    watch = replace(verdict("HOLD", 1, at_us=now_us(), experiment="watch.cart.test"), phase="watch")
    say(config, watch, verdict("ADVANCE", 1, at_us=now_us()))
    for asked in ((), ("watch.cart.test",)):
        apply = (*asked, "--exec", f'echo "$DAVY_EXPERIMENT" >> {out}', "--name", f"n{len(asked)}", "--once")
        assert subscribe(tmp_path, *apply).returncode == 0
    assert lines(out) == ["e", "watch.cart.test"]


def test_the_ledger_is_read_and_verified_and_tampering_shows(tmp_path: Path, config: Config) -> None:
    say(config, verdict("ADVANCE", 1, at_us=now_us()), verdict("PROMOTE", 2, at_us=now_us()), signed=False)
    assert subscribe(tmp_path, "--exec", "true", "--once").returncode == 0
    where = ("--config", str(tmp_path / "davy.yaml"))

    def davy(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "davy", "ledger", *arguments, *where], capture_output=True, text=True, check=False
        )

    shown = davy("e", "--json")
    first, second = (json.loads(line) for line in shown.stdout.splitlines())
    assert (first["outcome"], second["previous_hash"]) == ("REFUSED", first["hash"])
    assert [word in davy().stdout for word in ("REFUSED", "it is not signed")] == [True, True]
    assert davy("nobody").returncode == 3
    told = davy("verify", "--json")  # signatures are asked for, and this subscriber has no key
    assert (told.returncode, json.loads(told.stdout)["faults"]) == (1, 2)
    (tmp_path / "davy.yaml").write_text((tmp_path / "davy.yaml").read_text().partition("signing:")[0])
    whole = davy("verify", "--head", second["hash"])
    assert (whole.returncode, "subscriber default: 2 records, whole" in whole.stdout) == (0, True), whole.stdout
    assert davy("verify", "--head", "0" * 64).returncode == 1
    records = ledger(config)
    producer = kafka.producer(config)
    producer.produce(config.topic("decisions"), replace(records[0], reason="nothing was wrong").encode(), b"e")
    assert producer.flush(10) == 0
    broken = davy("verify")
    assert (broken.returncode, "#1: its content was changed" in broken.stdout) == (1, True), broken.stdout


def test_killed_while_it_applies_it_says_so_the_next_time_and_never_twice_at_once(
    tmp_path: Path, config: Config
) -> None:
    out = tmp_path / "out"
    say(config, verdict("ROLLBACK", 1, at_us=now_us()))
    apply = (
        f'echo "$DAVY_VERDICT_ID $DAVY_ATTEMPT" >> {out}; exec sleep "$([ $DAVY_ATTEMPT = 1 ] && echo 600 || echo 0)"'
    )
    process = subprocess.Popen(command(tmp_path, "--exec", apply))
    try:
        until(lambda: lines(out), 30, "the command was started")
        other = subscribe(tmp_path, "--exec", "true", "--once")
        assert (other.returncode, "another subscriber named default runs here" in other.stderr) == (2, True)
    finally:
        process.kill()
        process.wait()
    after = subscribe(tmp_path, "--exec", apply, "--once")
    assert after.returncode == 0, after.stderr
    (first, one), (second, two) = (line.split() for line in lines(out))
    assert (first == second, one, two) == (True, "1", "2")
    assert subscribe(tmp_path, "--exec", apply, "--once").stdout == ""


def test_only_what_is_asked_for_is_applied_and_a_failure_ends_in_the_ledger(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deploy import subscriber as module

    monkeypatch.setattr(module, "PAUSE_FIRST_S", 0.01)
    say(config, verdict("ADVANCE", 1, at_us=now_us()), verdict("ROLLBACK", 2, at_us=now_us(), experiment="bad"))
    tried: list[tuple[str, int]] = []

    def apply(said: Verdict, attempt: int) -> str | None:
        tried.append((said.action, attempt))
        return "the door is locked"

    with module.Subscriber(config, "picky", apply, actions=("ROLLBACK",)) as subscriber:
        subscriber.catch_up(threading.Event())
        assert subscriber.failed == 1
    assert tried == [("ROLLBACK", attempt) for attempt in range(1, module.TRIES_MAX + 1)]
    (failed,) = ledger(config)
    assert (failed.outcome, failed.reason) == ("FAILED", "not applied: the door is locked, 5 times")


@contextmanager
def receiver(answers: list[int]) -> Iterator[tuple[str, list[tuple[dict[str, str], dict[str, Any]]]]]:
    """An HTTP server that answers with these statuses in turn, then 200; and what it got."""
    got: list[tuple[dict[str, str], dict[str, Any]]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append(({name.lower(): value for name, value in self.headers.items()}, json.loads(body)))
            self.send_response(answers.pop(0) if answers else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/verdicts", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_url_gets_each_verdict_as_a_cloud_event_until_it_says_2xx(tmp_path: Path, config: Config) -> None:
    said = verdict("ADVANCE", 1, at_us=now_us())
    say(config, said)
    with receiver([503]) as (url, got):
        done = subscribe(tmp_path, "--url", url, "--once")
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["retried", "applied"]
    assert [(h["idempotency-key"], h["davy-attempt"], h["ce-type"]) for h, _ in got] == [
        (said.verdict_id, "1", "davy.v1.Verdict"), (said.verdict_id, "2", "davy.v1.Verdict"),
    ]  # fmt: skip
    assert got[1][1] == said.to_json()


@pytest.mark.parametrize(("arguments", "sentence"), [
    ((), "say how a verdict is applied: --exec COMMAND or --url URL"),
    (("--url", "ftp://x"), "--url ftp://x: say an address that begins with http"),
    (("--exec", "true", "--action", "NO"), "--action NO: there are CONTINUE"),
    (("--exec", "true", "--name", "a/b"), "--name a/b: say letters"),
    (("--exec", "true", "--timeout", "x"), "--timeout x: say a duration"),
])  # fmt: skip
def test_wrong_options_are_told(tmp_path: Path, arguments: tuple[str, ...], sentence: str) -> None:
    (tmp_path / "davy.yaml").write_text("")
    done = subscribe(tmp_path, *arguments)
    assert (done.returncode, sentence in done.stderr) == (2, True), done.stderr
