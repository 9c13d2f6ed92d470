"""`davy detect` as people and programs meet it."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

SERIES = """timestamp,value,other
2026-11-25T10:00:00Z,1.5,7
2026-11-25T10:01:00Z,,8
2026-11-25T10:02:00Z,nan,9
1764065100,2,3
"""


def davy(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "davy", "detect", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "series.csv"
    path.write_text(SERIES)
    return path


def test_one_object_per_row_in_order(file: Path) -> None:
    answer = davy(str(file), "--json")
    assert (answer.returncode, answer.stderr) == (0, "")
    rows = [json.loads(line) for line in answer.stdout.splitlines()]
    assert [list(row) for row in rows] == [["timestamp", "value", "score", "change"]] * 4
    assert [row["timestamp"] for row in rows] == [line.split(",")[0] for line in SERIES.splitlines()[1:]]
    assert [row["value"] for row in rows] == [1.5, None, None, 2.0]
    assert all((row["score"], row["change"]) == (0, False) for row in rows)


def test_a_prefix_of_the_file_gives_a_prefix_of_the_answers(tmp_path: Path) -> None:
    lines = [f"{1_700_000_000 + 60 * i},{(i * 7919 % 101) + (60 if i > 700 else 0)}" for i in range(1000)]
    whole, part = tmp_path / "whole.csv", tmp_path / "part.csv"
    whole.write_text("\n".join(["timestamp,value", *lines]))
    part.write_text("\n".join(["timestamp,value", *lines[:777]]))
    answers = davy(str(whole), "--json").stdout.splitlines()
    assert davy(str(part), "--json").stdout.splitlines() == answers[:777]
    changes = [i for i, line in enumerate(answers) if json.loads(line)["change"]]
    assert changes
    assert 700 < changes[0] <= 708


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"timestamp\n1\n", "has one column only"),
        (b"timestamp,a,b\n1,2,3\n", "has no column 'value': say --column with one of a, b"),
        (b"timestamp,value\n1,2\n2,abc\n", "row 2 (line 3): 'abc' is no number"),
        (b"timestamp,value\nyesterday,2\n", "row 1 (line 2): 'yesterday' is no timestamp"),
        (b"timestamp,value\n1,inf\n", "row 1 (line 2): 'inf' is not finite"),
        (b"timestamp,value\n1,2\n\xff\xfe,3\n", "row 2 (line 3): '\\\\xff\\\\xfe' is no timestamp"),
        (b"timestamp,value\n1,2\n2," + b"9" * 200_000, "row 2"),
        (b"timestamp,value\n1e300,2\n", "is no timestamp"),
    ],
)
def test_bad_input_is_one_sentence_with_its_row(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "series.csv"
    path.write_bytes(content)
    answer = davy(str(path), "--json")
    assert answer.returncode == 2
    assert told in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
    assert len(answer.stdout.splitlines()) == (1 if "row 2" in told else 0)


def test_no_file_and_no_such_detector(tmp_path: Path, file: Path) -> None:
    missing = davy(str(tmp_path / "none.csv"))
    assert (missing.returncode, "cannot be read" in missing.stderr) == (2, True)
    unknown = davy(str(file), "--detector", "magic")
    assert (unknown.returncode, "ensemble" in unknown.stderr) == (2, True)


def test_people_see_changes_anomalies_and_a_count(tmp_path: Path) -> None:
    path = tmp_path / "level.csv"
    path.write_text("timestamp,value\n" + "".join(f"{i},{5 + (i > 300) * 9 + i % 3}\n" for i in range(400)))
    answer = davy(str(path), "--column", "value")
    assert "change" in answer.stdout
    assert "anomaly, score" in answer.stdout
    assert answer.stdout.splitlines()[-1] == "400 rows, 1 change"


def test_a_counter_is_looked_at_by_its_growth(tmp_path: Path) -> None:
    """It begins anew at row 300, and grows twice as fast from row 600 on; a row is missing, and one came twice."""
    rng, total, lines = random.Random(1), 0.0, ["timestamp,requests_total"]
    for i in range(800):
        total = 0.0 if i == 300 else total + rng.gauss(100, 5) * (2 if i >= 600 else 1)
        lines += [f"{1_700_000_000 + 60 * i},{'' if i == 200 else total}"] * (2 if i == 400 else 1)
    path = tmp_path / "counter.csv"
    path.write_text("\n".join(lines))
    answers = [json.loads(line) for line in davy(str(path), "--counter", "--json").stdout.splitlines()]
    assert len(answers) == 801
    assert next(i for i, row in enumerate(answers) if row["change"]) in range(601, 610)
    assert sum(row["change"] for row in answers) == 1
    assert answers[200]["value"] is None
    assert answers[299]["value"] > 10_000, "what is shown is what stands in the file"
    told = [json.loads(line)["change"] for line in davy(str(path), "--json").stdout.splitlines()]
    assert sum(told) > 1, "without --counter its slope is news again and again once it began anew"


def test_a_header_alone_has_no_answers(tmp_path: Path) -> None:
    path = tmp_path / "none.csv"
    path.write_text("timestamp,value\n")
    answer = davy(str(path), "--json")
    assert (answer.returncode, answer.stdout) == (0, "")
