"""Each command's exit codes, as its help promises them."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from davy import cli
from davy.commands import simulate
from davy.reference import helped
from streams import kafka
from streams.embedded import EmbeddedBroker

SPEC = """\
apiVersion: davy/v1
kind: Experiment
id: cart-1
service: cart
environment: test
variants: {control: {version: "1"}, canary: {version: "2"}}
slis:
  - {name: errors, type: error_ratio, max_increase: 2pp}
steps:
  - {weight: 20%, duration: 30s}
"""
FLAGGER = """\
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: cart, namespace: test}
spec:
  targetRef: {kind: Deployment, name: cart}
  service: {port: 80}
  analysis: {interval: 1m, threshold: 5, maxWeight: 50, stepWeight: 10}
"""
PEOPLE = ("approve", "pause", "resume", "promote", "abort", "rollback")
ALONE = [
    ("apply bad.yaml", 2), ("bench --events 1", 2), ("demo --scenario storm", 2), ("detect series.csv", 0),
    ("detect none.csv", 2), ("import flagger flagger.yaml", 0), ("import flagger series.csv", 2),
    ("init --service cart --control 1 --canary 2", 0), ("init --service cart", 2), ("lint spec.yaml", 0),
    ("lint bad.yaml", 2), ("plan spec.yaml --rate 100", 0), ("plan bad.yaml --rate 100", 2), ("schema", 0),
    ("schema Verdict", 0), ("schema Nothing", 2), ("simulate errors --events 10 --out x.avro", 0), ("simulate storm", 2),
    ("split spec.yaml --weight 10% --out out", 0), ("split spec.yaml --weight lots --out out", 2),
    ("shift spec.yaml --weight 10%", 0), ("shift spec.yaml", 2), ("ledger --head x", 2), ("ledger a b", 2),
    ("export nothing", 2), ("status --timeout never", 2), ("repair --partition 0 --blocks x", 2), ("run jugde", 2),
    ("doctor --config bad.yaml", 2),    ("replay bad.yaml x.avro", 2), ("replay", 2), ("recount", 2), ("subscribe --once", 2),
    ("support --out none/x.tar.gz", 2), ("token argo", 0), ("token argo --scope all", 2),
    ("support --config bad.yaml", 2), ("support --out x.tar.gz", 0), *((f"{name} cart-1", 2) for name in PEOPLE),
]  # fmt: skip
"""Without a broker, in a folder with the files named."""
NO_BROKER = [
    "apply spec.yaml", "bench --events 1000 --brokers 127.0.0.1:1", "doctor", "ledger", "simulate errors",
    "status", "repair --partition 0 --blocks 0..", "recount --yes", "replay --verdict x", "subscribe --once --exec true",
]  # fmt: skip
"""Exit with 4 where none answers."""
STORE = [("explain nobody", 3), ("history nobody", 3), ("query nonsense", 2), ("export windows --out x", 0)]
"""On an embedded store that is empty."""
BROKER = [
    ("status", 3), ("apply spec.yaml", 0), ("status", 3), ("status nobody", 3), ("ledger", 0), ("ledger nobody", 3),
    ("ledger verify", 0), ("replay --verdict x", 3), ("subscribe --once --exec true", 0), ("simulate errors --events 10", 0),
    *((f"{name} nobody --reason why", 3) for name in PEOPLE[:2]), ("pause cart-1 --reason why", 0),
]  # fmt: skip
"""On an empty broker, in this order."""
ELSEWHERE = {
    "run": {0, 4}, "bench": {0}, "demo": {0, 1, 3, 4}, "status": {0, 1}, "replay": {0, 1}, "subscribe": {1}, "ledger": {1},
    "explain": {0, 4}, "history": {0, 4}, "report": {0, 3, 4}, "query": {0, 4}, "export": {4}, "doctor": {0}, "repair": {0},
    "shift": {4}, "recount": {0},
}  # fmt: skip
"""What other tests come to on their way: a rollback, a real Kafka, targets of traffic."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "spec.yaml").write_text(SPEC)
    (tmp_path / "bad.yaml").write_text("kind: Experiment\nid: 7/8\n")
    (tmp_path / "flagger.yaml").write_text(FLAGGER)
    (tmp_path / "series.csv").write_text("time,value\n2026-01-01T00:00:00Z,1\n")
    (tmp_path / "davy.yaml").write_text("kafka: {bootstrap.servers: '127.0.0.1:1'}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(kafka, "BROKER_TIMEOUT_S", 0.3)
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # this process is pytest's
    monkeypatch.setattr(simulate, "die_with_parent", lambda: None)
    return tmp_path


def code_of(line: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """In this process: one of its own takes half a second to start."""
    monkeypatch.setattr(sys, "argv", ["davy", *shlex.split(line)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return 0 if ended.value.code is None else int(str(ended.value.code))


def run(line: str, folder: Path) -> int:
    """In a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "davy", *shlex.split(line)], cwd=folder, capture_output=True, check=False
    ).returncode


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("line", "code"), ALONE)
def test_without_a_broker(line: str, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if "x.avro" in line and "simulate" not in line:
        Path("x.avro").touch()
    assert code_of(line, monkeypatch) == code


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("line", NO_BROKER)
def test_where_no_broker_answers(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(line, monkeypatch) == 4
    said = capsys.readouterr()
    assert "127.0.0.1:1" in said.err + said.out


def test_with_a_broker(folder: Path, tansu: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "BROKER_TIMEOUT_S", 10.0)
    (folder / "davy.yaml").write_text(f"kafka: {{bootstrap.servers: '{tansu.bootstrap}'}}\nembedded: true\n")
    for line, code in BROKER:
        assert code_of(line, monkeypatch) == code, line


def test_of_an_empty_store(folder: Path) -> None:
    """The embedded engine takes one folder for a process's life."""
    make = "from pathlib import Path; from streams.sinks.embedded import EmbeddedStore; "
    make += "EmbeddedStore(Path('.davy/clickhouse')).migrate([])"
    subprocess.run([sys.executable, "-c", make], cwd=folder, check=True)
    for line, code in STORE:
        assert run(line, folder) == code, line


def test_a_service_without_a_broker(folder: Path) -> None:
    assert run("run ingest judge", folder) == 4


def test_every_code_that_a_help_promises_was_seen() -> None:
    seen: dict[str, set[int]] = {name: set(codes) for name, codes in ELSEWHERE.items()}
    for line, code in [*ALONE, *((line, 4) for line in NO_BROKER), *STORE, *BROKER]:
        seen.setdefault(line.split(" ")[0], set()).add(code)
    for name in PEOPLE:  # they differ in their name
        seen[name] = {0, 2, 3, 4}
    for name in cli.entries():
        told = helped(name).partition("Exit code:")[2].partition("\n\n")[0]
        assert set(map(int, re.findall(r"\b[0-4]\b", told))) == seen[name], name
