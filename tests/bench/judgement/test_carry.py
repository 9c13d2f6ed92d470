"""What another state of the code measured is taken over only where it is what this one measures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.judgement.__main__ import CHUNK, Job, carry, lines, measure


def job(name: str, per_run: int) -> Job:
    def counted(seeds: range) -> dict[str, Any]:
        return {"runs": len(seeds), "rollback": per_run * sum(seeds)}

    return name, 2 * CHUNK, counted


def test_only_what_is_measured_as_before_is_taken_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, into = tmp_path / "before.jsonl", tmp_path / "now.jsonl"
    measure([job("same", 1), job("other", 1), job("gone", 1)], before)
    measure([job("known", 3)], into)
    carry([job("same", 1), job("other", 2), job("new", 1)], before, into)
    told = {name: said for name, _, said in (line.partition(": ") for line in capsys.readouterr().out.splitlines())}
    assert (told["same"], told["other"]) == ("equal", "DIFFERS, measure it anew")
    found = list(lines(into))
    assert [line for line in found if line["name"] == "same"] == [
        line for line in lines(before) if line["name"] == "same"
    ]
    assert {line["name"] for line in found} == {"known", "same"}


def test_what_was_measured_already_is_kept(tmp_path: Path) -> None:
    before, into = tmp_path / "before.jsonl", tmp_path / "now.jsonl"
    measure([job("a", 1)], before)
    into.write_text(json.dumps({"name": "a", "first": 0, "found": {"runs": CHUNK, "rollback": 7}}) + "\n")
    carry([job("a", 1)], before, into)
    assert [line["found"]["rollback"] for line in lines(into)] == [7]
    measure([job("a", 1)], into)
    assert [(line["first"], line["found"]["rollback"]) for line in lines(into)] == [(0, 7), (CHUNK, 14950)]
