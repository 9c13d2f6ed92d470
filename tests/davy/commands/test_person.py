"""Persons' commands, `apply`, `status` and `split`, as a person uses them: the rollout role runs, the ledger tells."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from davy.snapshot import snapshot
from schemas.config import Config, load_config
from schemas.decision import Decision
from streams import scenario as scenarios
from streams.embedded import EmbeddedBroker
from tests.support.system import until

ID = "demo-errors"


def davy(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "davy", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def service(tmp_path: Path, tansu: EmbeddedBroker) -> Iterator[Path]:
    """A configuration, with the rollout role at work on it."""
    path = tmp_path / "davy.yaml"
    path.write_text(
        f"kafka: {{bootstrap.servers: '{tansu.bootstrap}'}}\nembedded: true\ndata_dir: {tmp_path / 'data'}\n"
    )
    with (tmp_path / "rollout.log").open("wb") as log:
        command = [sys.executable, "-m", "davy", "run", "rollout", "--config", str(path)]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    yield path
    process.terminate()
    assert process.wait(20) == 0, (tmp_path / "rollout.log").read_text()[-2000:]


def ledger(config: Config) -> list[Decision]:
    return snapshot(config).decisions.of(ID)


def test_a_persons_commands_land_in_the_ledger_and_move_traffic(service: Path, tmp_path: Path) -> None:
    config = load_config(service)
    where = ("--config", str(service))
    assert davy("status", *where).stdout.strip() == "no experiments yet: put one in force with davy apply"
    spec = tmp_path / "errors.yaml"
    spec.write_text(scenarios.load("errors").spec.source)
    done = davy("apply", str(spec), *where)
    assert (done.returncode, done.stdout) == (0, f"{ID} applied\n"), done.stderr
    flag = config.traffic / ID / "flagd.json"
    until(flag.exists, 40, "the first weights were set")
    until(lambda: any(d.kind == "apply" and d.outcome == "DONE" for d in ledger(config)), 20, "the ledger has it")

    unknown = davy("pause", "nobody", "--reason", "why not", *where)
    assert (unknown.returncode, unknown.stderr.strip()) == (
        3, "davy: there is no experiment 'nobody': davy status lists them",
    )  # fmt: skip
    assert davy("pause", ID, "--reason", " ", *where).returncode == 2
    assert davy("pause", ID, "--reason", "lunch", *where).returncode == 0
    until(lambda: any(d.kind == "pause" and d.reason == "lunch" for d in ledger(config)), 20, "the pause is told")
    assert davy("rollback", ID, "--reason", "seen enough", *where).returncode == 0
    until(
        lambda: any(d.kind == "force rollback" and d.outcome == "DONE" for d in ledger(config)),
        20,
        "it was rolled back",
    )
    last = next(d for d in reversed(ledger(config)) if d.outcome == "DONE")
    assert last.weights == {"control": 1.0, "canary": 0.0}
    assert last.reason == "seen enough"
    assert last.actor not in ("", "davy rollout")
    fractional = json.loads(flag.read_text())["flags"][ID]["targeting"]["fractional"]
    assert fractional[1:] == [["canary", 0], ["control", 10000]]

    told = davy("status", ID, "--json", *where)
    assert told.returncode == 3  # no verdict: nobody judged
    assert json.loads(told.stdout)["weights"] == {"control": 1.0, "canary": 0.0}
    assert davy("status", "nobody", *where).returncode == 3


def test_the_splitter_alone(tmp_path: Path) -> None:
    spec = tmp_path / "errors.yaml"
    spec.write_text(scenarios.load("errors").spec.source)
    done = davy("split", str(spec), "--weight", "10%", "--out", str(tmp_path / "out"))
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'out'}: canary 10 %, control 90 %\n")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "flagd.json",
        "haproxy-split.map",
        "haproxy.cmds",
        "nginx-split.conf",
    ]
    for weight, said in (("110%", "110%"), ("-1", "must be from 0 to 1"), ("much", "say a share such as 10% or 0.1")):
        wrong = davy("split", str(spec), f"--weight={weight}", "--out", str(tmp_path / "no"))
        assert (wrong.returncode, wrong.stdout) == (2, "")
        assert said in wrong.stderr
    assert not (tmp_path / "no").exists()
