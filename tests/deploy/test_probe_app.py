"""The probe role and the rollout role as processes, a real Redis between them: killed, and started again."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from davy.commands import apply
from davy.snapshot import snapshot
from deploy import splitter
from schemas.config import Config, load_config
from schemas.probe import ProbeResult
from streams import kafka
from streams import scenario as scenarios
from streams.embedded import EmbeddedBroker
from streams.topics import ensure_topics
from tests.deploy.test_rollout_app import send, verdict
from tests.support.servers import Redis
from tests.support.system import until

SPEC = scenarios.load("errors").spec
ID = SPEC.id
EVERY_S, OPEN_AFTER, BOUND_S = 0.2, 3, 5.0


def probed(config: Config) -> list[ProbeResult]:
    values = [message.value() for message in kafka.to_end(config, config.topic("probes"), "test-probes")]
    return [ProbeResult.decode(value) for value in values if value is not None]


def circuit(config: Config) -> str:
    found = probed(config)
    return found[-1].circuit if found else ""


def kinds(config: Config) -> list[str]:
    return [decision.kind for decision in snapshot(config).decisions.of(ID) if decision.outcome == "DONE"]


def test_a_dead_dependency_opens_its_circuit_and_holds_the_rollout(tmp_path: Path, tansu: EmbeddedBroker) -> None:
    with Redis(tmp_path) as redis:
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
""")
        config = load_config(path)
        ensure_topics(config)
        apply.send(config, [apply.applied(SPEC, time.time_ns() // 1000, "ann", "applied")])
        roles = [_start(path, role) for role in ("probe", "rollout")]
        try:
            until(lambda: circuit(config) == "CLOSED", 40, "it was probed")
            until(lambda: splitter.read_back(config.traffic / ID).get("canary") == 0.1, 40, "the rollout began")
            redis.kill()
            until(lambda: circuit(config) == "OPEN", BOUND_S, "the circuit opened within its bound")
            until(lambda: "circuit open" in kinds(config), 20, "the ledger said so")
            send(config, "verdicts", verdict("ADVANCE", 1, 0).encode())
            until(lambda: "hold" in kinds(config), 20, "the advance was held")
            redis.start()
            until(lambda: "circuit closed" in kinds(config), 20, "the circuit closed")
            send(config, "verdicts", verdict("ADVANCE", 2, 0).encode())
            until(lambda: splitter.read_back(config.traffic / ID).get("canary") == 0.25, 20, "the rollout went on")
        finally:
            for role in roles:
                role.terminate()
            codes = [role.wait(20) for role in roles]
    assert codes == [0, 0]
    lines = snapshot(config).decisions.of(ID)
    (hold,) = [line for line in lines if line.kind == "hold"]
    assert "the circuit of sessions (redis) is open: cannot be reached" in hold.reason
    results = probed(config)
    opened = next(i for i, each in enumerate(results) if each.circuit == "OPEN")
    assert [each.ok for each in results[opened - 2 : opened + 1]] == [False] * OPEN_AFTER
    assert {tuple(each.services) for each in results} == {(SPEC.service,)}


def _start(config: Path, role: str) -> subprocess.Popen[bytes]:
    with (config.parent / f"{role}.log").open("ab") as log:
        command = [sys.executable, "-m", "davy", "run", role, "--config", str(config)]
        return subprocess.Popen(command, stdout=log, stderr=log)
