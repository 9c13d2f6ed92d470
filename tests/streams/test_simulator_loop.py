"""The simulator's shell: weights from the splitter's file, ticks without gaps."""

from __future__ import annotations

import json
import os
import threading
from itertools import pairwise
from pathlib import Path

import pytest

from streams.simulator_loop import FlagFile, ticks


def flagd(canary: int) -> str:
    split = [["canary", canary], ["control", 10_000 - canary]]
    flag = {"targeting": {"fractional": [{"var": "unit_id"}, *split]}}
    return json.dumps({"flags": {"demo-errors": flag}})


def replaced(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text)
    os.replace(new, path)


def test_before_there_is_a_file_nobody_has_a_weight(tmp_path: Path) -> None:
    assert FlagFile(tmp_path / "no" / "flagd.json", "demo-errors").weights() == {}


def test_a_replaced_file_is_seen_at_once_and_an_unchanged_one_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "flagd.json"
    replaced(path, flagd(1_000))
    file = FlagFile(path, "demo-errors")
    assert file.weights() == {"canary": 0.1, "control": 0.9}
    replaced(path, flagd(2_500))
    assert file.weights()["canary"] == 0.25
    monkeypatch.delattr(Path, "read_text")
    assert file.weights()["canary"] == 0.25


def passed(times: list[int]) -> list[tuple[int, int]]:
    """The ticks of a clock that shows these times, one after the other."""
    stop = threading.Event()
    seen: list[tuple[int, int]] = []
    for interval in ticks(lambda: times.pop(0), 400_000, stop):
        seen.append(interval)
        if not times and interval[1] == END:
            stop.set()
    return seen


END = 90_000_000


def test_ticks_leave_nothing_out_and_are_never_long() -> None:
    seen = passed([0, 200_000, 200_000, 40_000_000, END])
    assert seen[0][0] == 0
    assert seen[-1][1] == END
    assert all(a[1] == b[0] for a, b in pairwise(seen))
    assert max(end - begin for begin, end in seen) == 400_000


def test_a_machine_that_slept_goes_on_from_now() -> None:
    assert passed([0, 100_000, END - 100_000, END]) == [(0, 100_000), (END - 100_000, END)]
