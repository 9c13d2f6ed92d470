"""Roles stand still on a real Kafka: what they and the console answer meanwhile, and afterwards."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from davy.commands import apply
from davy.health import answering
from schemas.config import Config, load_config
from schemas.control import Control, SpecApplied
from streams.topics import ensure_topics
from tests.support.kafka import KafkaBroker
from tests.support.steady_load import SteadyLoad
from tests.support.system import until

SPEC = """\
apiVersion: davy/v1
kind: Experiment
id: e0
service: cart
environment: test
variants: {control: {version: '1'}, canary: {version: '2'}}
randomization: request
slis: [{name: errors, type: error_ratio, max_increase: 50%}]
steps: [{weight: 50%, duration: 1h}]
"""
PARTITIONS, PER_SECOND = 2, 500
START_S, TURN_S = 60.0, 25.0
ROLES = ("ingest", "judge", "rollout", "sink", "web")

Answer = tuple[int, dict[str, Any]]


def ask(address: str, path: str) -> Answer:
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def metrics(address: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def address(config: Config, role: str) -> str | None:
    """Where Prometheus would be sent."""
    path = config.data_dir / "scrape" / f"{role}-0.json"
    if not path.exists():
        return None
    (group,) = json.loads(path.read_text())
    assert group["labels"] == {"role": role, "__scheme__": "http"}
    return group["targets"][0]


@contextmanager
def service(path: Path) -> Generator[subprocess.Popen[bytes]]:
    """`davy run`: a supervisor and a process for each role."""
    with (path.parent / "davy.log").open("ab") as log:
        command = [sys.executable, "-m", "davy", "run", "--config", str(path)]
        started = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield started
    finally:
        started.terminate()
        started.wait(30)


def process(supervisor: subprocess.Popen[Any], role: str) -> int:
    """The process that has the role; a spare has a pipe as its standard input."""
    children = Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children").read_text().split()
    for child in children:
        words = Path(f"/proc/{child}/cmdline").read_text().split("\0")
        if role in words and "--spare" not in words:
            return int(child)
    raise AssertionError(f"no process has the role {role}")


@pytest.mark.parametrize("frozen", [("ingest",), pytest.param(("judge", "sink"), marks=pytest.mark.full)])
def test_whoever_stands_still_is_named_until_it_moves_again(
    alone: None, kafka: KafkaBroker, tmp_path: Path, frozen: tuple[str, ...]
) -> None:
    path = tmp_path / "davy.yaml"
    path.write_text(
        f"kafka: {{bootstrap.servers: '{kafka.bootstrap}'}}\nprefix: 'health-{frozen[0]}.'\ndata_dir: {tmp_path / 'data'}\n"
        f"http: {{port: 0}}\nlimits: {{event_partitions: {PARTITIONS}, delta_partitions: 2, standstill: 4s}}\n"
    )
    config = load_config(path)
    ensure_topics(config)
    apply.send(config, [Control("e0", time.time_ns() // 1000, "ann", "test", SpecApplied(SPEC, "e0.yaml", "x"))])
    load = SteadyLoad(kafka.bootstrap, config.topic("events"), PARTITIONS, PER_SECOND, seed=1)
    with ExitStack() as stack:
        supervisor = stack.enter_context(service(path))
        load.start()
        stack.callback(load.stop)
        until(lambda: all(status(config, role) == 200 for role in ROLES), START_S, "all were ready")
        until(lambda: _watermark(config) > 1.7e9, START_S, "a window was closed")
        for role in frozen:
            _freeze(process(supervisor, role), role, config)
        _metrics_are_there({role: str(address(config, role)) for role in ROLES})


def _watermark(config: Config) -> float:
    return metrics(str(address(config, "web")))["davy_watermark_seconds"][0][1]


def status(config: Config, role: str) -> int:
    """Of /readyz; 0 where nobody answers."""
    place = address(config, role)
    try:
        return ask(place, "/readyz")[0] if place else 0
    except OSError:
        return 0


def _freeze(pid: int, role: str, config: Config) -> None:
    console = str(address(config, "web"))
    said: list[str] = []

    def noticed() -> bool:
        status, body = ask(console, "/readyz")
        said.append(f"{status} {body['reason']}")
        return status == 503 and str(body["reason"]).startswith(role) and not body["roles"][role]["ready"]

    os.kill(pid, signal.SIGSTOP)
    try:
        until(noticed, TURN_S, f"the console noticed that {role} is frozen")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert f"davy run {role}" in said[-1]
    assert ask(console, "/healthz") == (200, {"ok": True})
    until(lambda: ask(console, "/readyz")[0] == 200, TURN_S, f"the console noticed that {role} moves again")
    until(lambda: status(config, role) == 200, TURN_S, f"{role} itself was ready again")


def _metrics_are_there(places: dict[str, str]) -> None:
    """Lag, position and readiness of every role at the console and at the role; what is theirs alone besides."""
    console = metrics(places["web"])
    for name in ("davy_role_lag_records", "davy_role_position", "davy_role_ready"):
        assert {labels["role"] for labels, _ in console[name]} == set(ROLES)
    for name in ("davy_deadletters_records", "davy_windows_late_rows_total", "davy_windows_counted_rows_total"):
        _told(places["web"], name)
    own = {
        "ingest": ("davy_ingest_events_total", "davy_ingest_deadletters_total", "davy_ingest_event_time_seconds"),
        "judge": ("davy_judge_deltas_total", "davy_judge_rows_total", "davy_judge_closed_seconds"),
        "sink": ("davy_sink_rows_total", "davy_sink_event_time_seconds"),
        "rollout": ("davy_rollout_decisions_total", "davy_rollout_event_time_seconds"),
    }
    for role, names in own.items():
        assert {labels["role"] for labels, _ in metrics(places[role])["davy_role_lag_records"]} == {role}
        for name in names:
            _told(places[role], name)

    def fates() -> dict[str, float]:
        return {labels["fate"]: value for labels, value in metrics(places["judge"])["davy_judge_rows_total"]}

    until(lambda: fates()["late"] > 0, TURN_S, "the judge told late rows")
    assert fates()["rows"] > fates()["late"]


def _told(place: str, name: str) -> None:
    """Whatever is counted has happened by then, or soon."""
    until(lambda: any(value > 0 for _, value in metrics(place)[name]), TURN_S, f"{place} told {name}")


def test_a_role_answers_as_its_fault_says_and_nothing_else(tmp_path: Path) -> None:
    config = Config().with_data_dir(tmp_path)
    faults: list[str | None] = ["it stands still"]
    with answering(config, "ingest", lambda: faults[0]) as port:
        place = f"127.0.0.1:{port}"
        assert address(config, "ingest") == place
        assert ask(place, "/readyz") == (503, {"ready": False, "reason": "it stands still"})
        faults[0] = None
        assert ask(place, "/readyz?x=1") == (200, {"ready": True, "reason": None})
        assert ask(place, "/healthz") == (200, {"ok": True})
        assert "python_info" in metrics(place)
        status, body = ask(place, "/secrets")
        assert status == 404
        assert "/readyz" in body["error"]
    assert address(config, "ingest") is None


def test_a_second_process_takes_a_free_port(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        health = Config().health.model_copy(update={"port": port})
        config = Config().with_data_dir(tmp_path).model_copy(update={"health": health})
        with answering(config, "judge", lambda: None) as other:
            assert other != port
            assert ask(f"127.0.0.1:{other}", "/readyz")[0] == 200


@pytest.mark.parametrize("line", ["health: {port: 70000}", "health: {ports: 1}", "limits: {standstill: 0s}"])
def test_nonsense_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "davy.yaml"
    path.write_text(line + "\n")
    with pytest.raises(Exception, match=r"davy\.yaml:1:"):
        load_config(path)
