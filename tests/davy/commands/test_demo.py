"""The demo as a program sees it: each scenario ends as it says."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from davy.commands.demo import free_port
from schemas.errors import UserError
from tests.support.demo import END_S, START_S, running, to_its_end

alone = pytest.mark.usefixtures("alone")


@alone
@pytest.mark.parametrize(
    "scenario", ["healthy", pytest.param("blip", marks=pytest.mark.full)]
)  # errors: the notebooks' tests look at what it left behind
def test_a_scenario_that_ends(tmp_path: Path, scenario: str) -> None:
    with running(scenario, tmp_path) as demo:
        to_its_end(demo, tmp_path, "PROMOTE")
        assert demo.end() == 0
    assert all(("action" in line) != ("kind" in line) for line in demo.lines)
    assert len({line["verdict_id"] for line in demo.verdicts}) == len(demo.verdicts)
    assert (tmp_path / "logs" / "judge.log").is_file()


@alone
@pytest.mark.parametrize(("scenario", "conclusion"), [("no-traffic", "NO_DATA"), ("mismatch", "INVALID")])
def test_a_scenario_that_holds(tmp_path: Path, scenario: str, conclusion: str) -> None:
    with running(scenario, tmp_path) as demo:
        demo.until(lambda line: line.get("conclusion") == conclusion, START_S + END_S)
        for _ in range(5):
            line = demo.until(lambda line: "action" in line, END_S)
            assert (line["action"], line["conclusion"]) == ("HOLD", conclusion)
        assert demo.end() == 3


@alone
def test_the_demo_ends_by_itself(tmp_path: Path) -> None:
    begun = time.monotonic()
    command = [sys.executable, "-m", "davy", "demo", "--json", "--port", "0", "--duration", "12"]
    command += ["--dir", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert 10 < time.monotonic() - begun < 40
    assert result.returncode in (1, 3)
    assert json.loads(result.stdout.splitlines()[0])["kind"] == "ready"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--scenario", "storm"], "there is no scenario named 'storm'"),
        (["--speed", "0"], "--speed 0"),
        (["--duration", "-1"], "--duration -1"),
    ],
)
def test_nonsense_is_a_sentence(tmp_path: Path, arguments: list[str], said: str) -> None:
    command = [sys.executable, "-m", "davy", "demo", "--dir", str(tmp_path / "d"), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert said in result.stderr
    assert not (tmp_path / "d").exists()


def test_a_taken_port_is_a_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} cannot be used"):
            free_port(port)
    assert free_port(port) == port
    assert 0 < free_port(0) < 65536
    with pytest.raises(UserError, match="port 70000 cannot be used"):
        free_port(70_000)
