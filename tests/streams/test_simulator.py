"""The simulator is a pure function of seed, interval and weights."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.columns import EVENT_SCHEMA
from streams.scenario import load
from streams.simulator import Simulator

SECOND = 1_000_000
BEGIN = 1_767_225_600 * SECOND
HALF = {"control": 0.5, "canary": 0.5}
TENTH = {"control": 0.9, "canary": 0.1}


def whole(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return pa.Table.from_batches(batches, EVENT_SCHEMA).combine_chunks().to_batches()[0]


def column(batch: pa.RecordBatch, name: str) -> np.ndarray:
    values = batch.column(name)
    if name == "timestamp":
        return values.cast(pa.int64()).to_numpy()
    return np.array(values.to_pylist()) if pa.types.is_string(values.type) else values.to_numpy()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 4 * SECOND), max_size=8), st.integers(0, 3))
def test_any_cutting_gives_the_same_events(cuts: list[int], seed: int) -> None:
    simulator = Simulator(load("errors"), seed)
    places = sorted({0, 4 * SECOND, *cuts})
    parts = [simulator.events(BEGIN + a, BEGIN + b, TENTH) for a, b in pairwise(places)]
    assert whole(parts).equals(simulator.events(BEGIN, BEGIN + 4 * SECOND, TENTH))


def test_same_seed_same_events_another_seed_others() -> None:
    first, again, other = (Simulator(load("healthy"), seed).events(BEGIN, BEGIN + SECOND, TENTH) for seed in (7, 7, 8))
    assert first.equals(again)
    assert not first.equals(other)


def test_events_are_ordered_and_within_the_interval() -> None:
    batch = Simulator(load("healthy")).events(BEGIN + 300_000, BEGIN + 2_700_000, HALF)
    times = column(batch, "timestamp")
    assert batch.schema.equals(EVENT_SCHEMA)
    assert times[0] >= BEGIN + 300_000
    assert times[-1] < BEGIN + 2_700_000
    assert np.all(np.diff(times) >= 0)


def test_an_empty_interval_has_no_events() -> None:
    assert Simulator(load("healthy")).events(BEGIN, BEGIN, HALF).num_rows == 0


def test_rates_are_those_of_the_scenario() -> None:
    batch = Simulator(load("errors"), 1, rate=5_000).events(BEGIN, BEGIN + 20 * SECOND, HALF)
    assert batch.num_rows == pytest.approx(100_000, rel=0.2)  # the day's swing is 15 %
    arm, failed = column(batch, "variant"), column(batch, "status") >= 500
    assert failed[arm == "control"].mean() == pytest.approx(0.005, rel=0.25)
    assert failed[arm == "canary"].mean() == pytest.approx(0.020, rel=0.25)
    latency = column(batch, "duration_us")
    ratio = np.median(latency[arm == "canary"]) / np.median(latency[arm == "control"])
    assert ratio == pytest.approx(1, abs=0.05)


def test_a_unit_keeps_its_arm_while_the_canary_grows() -> None:
    simulator = Simulator(load("healthy"), 3)
    served: dict[str, set[str]] = {}
    for step, share in enumerate((0.1, 0.25, 0.5)):
        start = BEGIN + 10 * step * SECOND
        batch = simulator.events(start, start + 10 * SECOND, {"canary": share})
        units, arms = column(batch, "unit_id"), column(batch, "variant")
        assert (arms == "canary").mean() == pytest.approx(share, rel=0.15)
        canary = set(units[arms == "canary"])
        assert len(canary & set(units[arms == "control"])) == 0
        for earlier in served.values():
            assert not earlier & set(units[arms == "control"])
        served[f"{share}"] = canary


def test_without_weights_control_serves_all() -> None:
    batch = Simulator(load("healthy")).events(BEGIN, BEGIN + SECOND, {})
    assert set(column(batch, "variant")) == {"control"}
    assert set(column(batch, "version")) == {load("healthy").spec.variants["control"].version}


@pytest.mark.parametrize(("name", "share"), [("mismatch", 0.15), ("no-traffic", 0.0)])
def test_the_splitter_of_some_scenarios_lies(name: str, share: float) -> None:
    batch = Simulator(load(name), 2).events(BEGIN, BEGIN + 20 * SECOND, TENTH)
    assert (column(batch, "variant") == "canary").mean() == pytest.approx(share, rel=0.1)


def test_a_blip_strikes_both_arms_for_a_while() -> None:
    scenario = load("blip")
    assert scenario.shock is not None
    batch = Simulator(scenario, 2).events(BEGIN, BEGIN + 60 * SECOND, HALF)
    since = (column(batch, "timestamp") - BEGIN) % scenario.shock.period_us - scenario.shock.start_us
    shaken = (since >= 0) & (since < scenario.shock.length_us)
    arm, failed = column(batch, "variant"), column(batch, "status") >= 500
    for name in ("control", "canary"):
        assert failed[shaken & (arm == name)].mean() > 5 * failed[~shaken & (arm == name)].mean()


def test_a_slow_canary_is_slow() -> None:
    batch = Simulator(load("latency"), 1).events(BEGIN, BEGIN + 20 * SECOND, HALF)
    arm, latency = column(batch, "variant"), column(batch, "duration_us")
    ratio = np.quantile(latency[arm == "canary"], 0.99) / np.quantile(latency[arm == "control"], 0.99)
    assert ratio == pytest.approx(1.8, rel=0.15)


def test_every_arm_has_several_replicas() -> None:
    batch = Simulator(load("healthy")).events(BEGIN, BEGIN + 5 * SECOND, TENTH)
    arm, instance = column(batch, "variant"), column(batch, "instance")
    assert len(set(instance[arm == "canary"])) == len(set(instance[arm == "control"])) == 4
