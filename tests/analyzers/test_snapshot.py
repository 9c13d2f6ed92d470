"""Snapshots: exact, closed to foreign classes, honest about what they cannot hold."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeVar, cast

import numpy as np
import pytest

from analyzers import snapshot
from analyzers import trial as trials
from analyzers.case import Situation
from analyzers.dispersion import Clumps, ShareClumps
from analyzers.gates import ArmQuality, Gates
from analyzers.judgement import judge
from analyzers.trial import Trial
from tests.analyzers.builders import ALL, Traffic, spec

Array = np.ndarray[Any, np.dtype[Any]]
T = TypeVar("T")


def same(a: Any, b: Any) -> bool:
    """Equal bit for bit, dtypes included."""
    if isinstance(a, np.ndarray):
        x, y = cast("Array", a), cast("Array", b)
        return x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()
    if is_dataclass(a):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    if isinstance(a, tuple):
        x, y = cast("tuple[Any, ...]", a), cast("tuple[Any, ...]", b)
        return len(x) == len(y) and all(map(same, x, y))
    return type(a) is type(b) and a == b


def through_json(state: T) -> T:
    return snapshot.load(type(state), json.loads(json.dumps(snapshot.dump(state), allow_nan=False)))


@pytest.mark.parametrize("randomization", ["request", "user"])
def test_restore_continue_is_continue_at_every_window(randomization: str) -> None:
    experiment = spec(
        *ALL,
        randomization=randomization,
        steps=("{weight: 10%, duration: 40s}", "{weight: 50%, duration: 40s}"),
    )
    traffic = Traffic(((0.1, 8), (0.5, 8)), rows=300, latencies=True, users=randomization == "user")
    straight = restored = trials.start(experiment, "canary")
    for i, window in enumerate(traffic.windows(7)):
        straight = trials.step(straight, window)
        restored = trials.step(through_json(restored), window)
        assert same(straight, restored), f"window {i}"
        now = Situation(window.end_us, window.step, 2, True, 0, 0)
        assert judge(experiment, straight, now) == judge(experiment, through_json(straight), now)


def test_a_step_leaves_its_input_alone() -> None:
    experiment = spec(*ALL)
    trial = trials.start(experiment, "canary")
    for window in Traffic(((0.5, 4),), rows=300, latencies=True).windows(1):
        before = json.dumps(snapshot.dump(trial))
        after = trials.step(trial, window)
        assert json.dumps(snapshot.dump(trial)) == before
        trial = after


def test_floats_are_exact() -> None:
    value = math.nextafter(0.1, 1)
    clumps = Clumps.zero().add(10, 10, value, 1 / 3)
    assert same(through_json(clumps), clumps)


@dataclass(frozen=True)
class Foreign:
    x: int = 1


def test_foreign_classes_are_refused() -> None:
    with pytest.raises(snapshot.Unsnapshotable):
        snapshot.load(Foreign, {"type": f"{__name__}:Foreign", "x": 1})
    with pytest.raises(snapshot.Unsnapshotable):
        snapshot.load(Foreign, {"type": "analyzers.counts:growth"})
    with pytest.raises(snapshot.Unsnapshotable):
        snapshot.load(Trial, snapshot.dump(Gates()))


@pytest.mark.parametrize("value", [math.nan, math.inf, {1, 2}, [1], np.zeros(2, np.complex128)])
def test_what_a_state_may_not_hold(value: Any) -> None:
    with pytest.raises(snapshot.Unsnapshotable):
        snapshot.dump(ShareClumps(value, np.zeros(1), 0.0))


def test_only_states_are_dumped() -> None:
    with pytest.raises(snapshot.Unsnapshotable):
        snapshot.dump(3)
    with pytest.raises(snapshot.Unsnapshotable):
        snapshot.dump(ArmQuality)
