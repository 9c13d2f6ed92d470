"""`davy replay` as a program uses it: recorded scenarios end as they should, and every run says the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from streams import scenario as scenarios


def davy(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "davy", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)


def recorded(scenario: str, file: Path, *more: str) -> tuple[Path, Path]:
    """Spec and events of a scenario."""
    done = davy("simulate", scenario, "--out", str(file), "--seed", "5", *more)
    assert done.returncode == 0, done.stderr
    spec = file.with_suffix(".yaml")
    spec.write_text(scenarios.load(scenario).spec.source)
    return spec, file


def verdicts(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def without_place(verdict: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in verdict.items() if key not in ("verdict_id", "offsets")}


@pytest.mark.parametrize(
    ("scenario", "action", "conclusion", "code"),
    [
        ("healthy", "PROMOTE", "HEALTHY", 0),
        ("errors", "ROLLBACK", "HARM", 1),
        ("blip", "PROMOTE", "HEALTHY", 0),
        ("no-traffic", "HOLD", "NO_DATA", 3),
        ("mismatch", "HOLD", "INVALID", 3),
    ],
)
def test_a_recorded_scenario_ends_as_it_should(
    tmp_path: Path, scenario: str, action: str, conclusion: str, code: int
) -> None:
    spec, events = recorded(scenario, tmp_path / "events.avro")
    done = davy("replay", str(spec), str(events), "--json")
    assert done.returncode == code, done.stderr
    found = verdicts(done.stdout)
    assert (found[-1]["action"], found[-1]["conclusion"]) == (action, conclusion)
    assert [verdict["sequence"] for verdict in found] == list(range(1, len(found) + 1))
    assert len({verdict["verdict_id"] for verdict in found}) == len(found)
    assert "NaN" not in done.stdout
    assert "Infinity" not in done.stdout


def test_every_run_and_every_format_says_the_same(tmp_path: Path) -> None:
    spec, avro = recorded("errors", tmp_path / "events.avro", "--events", "30000")
    _, parquet = recorded("errors", tmp_path / "events.parquet", "--events", "30000")
    _, ndjson = recorded("errors", tmp_path / "events.ndjson", "--events", "30000")
    first = davy("replay", str(spec), str(avro), "--json").stdout
    assert len(verdicts(first)) > 3
    assert davy("replay", str(spec), str(avro), "--json").stdout == first
    for other in (parquet, ndjson):  # offsets name the file, and the id covers the offsets
        found = verdicts(davy("replay", str(spec), str(other), "--json").stdout)
        assert [without_place(verdict) for verdict in found] == [without_place(verdict) for verdict in verdicts(first)]


def test_a_spec_with_an_error_is_told_with_its_place(tmp_path: Path) -> None:
    spec, events = recorded("errors", tmp_path / "events.ndjson", "--events", "100")
    spec.write_text(spec.read_text().replace("max_increase: 0.5pp", "max_increase: 0.5pq"))
    done = davy("replay", str(spec), str(events), "--json")
    assert (done.returncode, done.stdout) == (2, "")
    line = next(i for i, text in enumerate(spec.read_text().splitlines(), 1) if "0.5pq" in text)
    assert done.stderr.startswith(f"{spec}:{line}:")
