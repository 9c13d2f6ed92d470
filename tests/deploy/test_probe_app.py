"""Roles probe, rollout and alert as processes; a real Redis, PostgreSQL and Alertmanager: one is killed, and started again."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from davy.commands import apply
from davy.snapshot import snapshot
from deploy import splitter
from schemas.config import Config, load_config
from schemas.incident import Incident
from schemas.probe import ProbeResult
from streams import kafka
from streams import scenario as scenarios
from streams.embedded import EmbeddedBroker
from streams.topics import ensure_topics
from tests.deploy.test_rollout_app import send, verdict
from tests.support.servers import Alertmanager, Postgres, Redis
from tests.support.system import until

SPEC = scenarios.load("errors").spec
ID = SPEC.id
EVERY_S, OPEN_AFTER, BOUND_S = 0.2, 3, 5.0


def probed(config: Config) -> list[ProbeResult]:
    values = [message.value() for message in kafka.to_end(config, config.topic("probes"), "test-probes")]
    return [ProbeResult.decode(value) for value in values if value is not None]


def circuit(config: Config) -> str:
    found = probed(config)
    of_redis = [each for each in found if each.kind == "redis"]
    return of_redis[-1].circuit if of_redis else ""


def alerts(alertmanager: Alertmanager) -> list[Any]:
    """Those that are not over."""
    with urlopen(f"http://{alertmanager.address}/api/v2/alerts", timeout=5) as answer:
        return json.load(answer)


def kinds(config: Config) -> list[str]:
    return [decision.kind for decision in snapshot(config).decisions.of(ID) if decision.outcome == "DONE"]


def test_a_dead_dependency_opens_its_circuit_and_holds_the_rollout(tmp_path: Path, tansu: EmbeddedBroker) -> None:
    with Redis(tmp_path) as redis, Postgres(tmp_path) as postgres, Alertmanager(tmp_path) as alertmanager:
        path = tmp_path / "davy.yaml"
        path.write_text(f"""\
kafka: {{bootstrap.servers: '{tansu.bootstrap}'}}
embedded: true
data_dir: {tmp_path / "data"}
probes:
  allow: [127.0.0.1]
  targets:
    sessions: {{kind: redis, address: '{redis.address}', services: [{SPEC.service}], every: 200ms, timeout: 500ms,
      open_after: {OPEN_AFTER}, cool_down: 500ms}}
    orders: {{kind: postgresql, address: '{postgres.address}', services: [{SPEC.service}], every: 500ms}}
alerts:
  receivers:
    people: {{type: alertmanager, url: 'http://{alertmanager.address}'}}
""")
        config = load_config(path)
        ensure_topics(config)
        apply.send(config, [apply.applied(SPEC, time.time_ns() // 1000, "ann", "applied")])
        roles = [_start(path, role) for role in ("probe", "rollout", "alert")]
        try:
            until(lambda: circuit(config) == "CLOSED", 40, "it was probed")
            until(lambda: splitter.read_back(config.traffic / ID).get("canary") == 0.1, 40, "the rollout began")
            redis.kill()
            until(lambda: circuit(config) == "OPEN", BOUND_S, "the circuit opened within its bound")
            until(lambda: "circuit open" in kinds(config), 20, "the ledger said so")
            send(config, "verdicts", verdict("ADVANCE", 1, 0).encode())
            until(lambda: "hold" in kinds(config), 20, "the advance was held")
            until(lambda: len(alerts(alertmanager)) == 1, 20, "Alertmanager had one alert")
            (alert,) = alerts(alertmanager)
            assert alert["labels"]["alertname"] == "DavyCircuit"
            assert (alert["labels"]["target"], alert["status"]["state"]) == ("sessions", "active")
            redis.start()
            until(lambda: "circuit closed" in kinds(config), 20, "the circuit closed")
            send(config, "verdicts", verdict("ADVANCE", 2, 0).encode())
            until(lambda: splitter.read_back(config.traffic / ID).get("canary") == 0.25, 20, "the rollout went on")
            until(lambda: alerts(alertmanager) == [], 20, "the alert was resolved")
        finally:
            for role in roles:
                role.terminate()
            codes = [role.wait(20) for role in roles]
    assert codes == [0, 0, 0]
    told = [
        Incident.decode(m.value() or b"") for m in kafka.to_end(config, config.topic("incidents"), "test-incidents")
    ]
    opened, closed = [incident for incident in told if incident.kind == "circuit"]
    assert (opened.identity, opened.ended) == (closed.identity, None)
    assert closed.ended is not None
    assert closed.ended > opened.started
    lines = snapshot(config).decisions.of(ID)
    (hold,) = [line for line in lines if line.kind == "hold"]
    assert "the circuit of sessions (redis) is open: cannot be reached" in hold.reason
    assert {each.circuit for each in probed(config) if each.kind == "postgresql"} == {"CLOSED"}
    results = [each for each in probed(config) if each.kind == "redis"]
    first = next(i for i, each in enumerate(results) if each.circuit == "OPEN")
    assert [each.ok for each in results[first - 2 : first + 1]] == [False] * OPEN_AFTER
    assert {tuple(each.services) for each in results} == {(SPEC.service,)}


def _start(config: Path, role: str) -> subprocess.Popen[bytes]:
    with (config.parent / f"{role}.log").open("ab") as log:
        command = [sys.executable, "-m", "davy", "run", role, "--config", str(config)]
        return subprocess.Popen(command, stdout=log, stderr=log)
