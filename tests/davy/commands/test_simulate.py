"""`davy simulate` to files: reproducible, and with the weights of the spec's steps on schedule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from davy.commands.simulate import AFTER_STEPS, BEGIN_US, simulate, weights_at
from schemas.config import Config
from schemas.errors import UserError
from streams.scenario import load
from streams.sources import read

CONFIG = Config()


def test_so_many_events_and_the_same_each_time(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.avro" for name in "ab"]
    for path in paths:
        assert simulate("errors", CONFIG, 2500, None, 7, str(path)) == 2500
    assert paths[0].read_bytes() == paths[1].read_bytes()
    table, rejects = read(paths[0])
    assert (table.num_rows, rejects) == (2500, [])


def test_weights_follow_the_steps_from_the_first_window_on(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    simulate("healthy", CONFIG, None, 400, 1, str(path))
    table, _ = read(path)
    since = table.column("timestamp").cast(pa.int64()).to_numpy() - BEGIN_US
    canary = np.array(table.column("variant").to_pylist()) == "canary"
    begin, steps = 0, load("healthy").spec.steps
    assert since[-1] / sum(step.duration_us for step in steps) == pytest.approx(1 + AFTER_STEPS, rel=0.01)
    for step in steps:
        inside = (since >= begin) & (since < begin + step.duration_us)
        assert canary[inside].mean() == pytest.approx(step.weight, rel=0.1)
        begin += step.duration_us


def test_the_last_steps_weight_stays() -> None:
    scenario = load("healthy")
    assert weights_at(scenario, 0) == {"control": 0.9, "canary": 0.1}
    assert weights_at(scenario, 10**12) == {"control": 0.5, "canary": 0.5}


@pytest.mark.parametrize(
    ("name", "events", "rate", "out", "said"),
    [
        ("storm", 10, None, "x.avro", "no scenario named 'storm'"),
        ("errors", 0, None, "x.avro", "--events 0"),
        ("errors", 10, 0.0, "x.avro", "--rate 0"),
        ("errors", 10, float("nan"), "x.avro", "--rate nan"),
        ("errors", 10, None, "x.csv", r"\.avro, \.ndjson, \.parquet"),
    ],
)
def test_nonsense_is_a_sentence(
    tmp_path: Path, name: str, events: int | None, rate: float | None, out: str, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        simulate(name, CONFIG, events, rate, 0, str(tmp_path / out))
    assert list(tmp_path.iterdir()) == []
