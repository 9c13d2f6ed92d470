"""`davy bench` as a program uses it: on the embedded broker, one object on one line."""

from __future__ import annotations

import json
import socket
import subprocess
import sys


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "davy", "bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)


def test_the_figures_are_one_object() -> None:
    done = run("--events", "60000", "--experiments", "20", "--json")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    figures = json.loads(line)
    assert set(figures) == {"bare", "davy", "ratio", "bare_cpu_us_per_event", "cpu_us_per_event"}
    assert all(value > 0 for value in figures.values())
    assert figures["davy"] < figures["bare"]


def test_no_broker_is_a_sentence() -> None:
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        done = run("--brokers", f"127.0.0.1:{taken.getsockname()[1]}")
    assert (done.returncode, done.stdout) == (4, "")
    assert "no Kafka broker answers" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_nonsense_is_a_sentence() -> None:
    done = run("--events", "5")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--events 5" in done.stderr
