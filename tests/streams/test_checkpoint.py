"""A judge that goes on from a checkpoint says what it would have said, bit for bit."""

from __future__ import annotations

import io
import json
import zlib
from typing import Any

import fastavro
import pyarrow as pa
import pytest

from schemas.config import load_config
from schemas.control import Command, Control
from schemas.delta import ControlCopy
from schemas.record import Record
from schemas.slo import Slo
from schemas.spec import load_specs
from streams import checkpoint
from streams import scenario as scenarios
from streams.deltas import Read
from streams.judge import Judge, Output
from streams.judge_settings import JudgeSettings
from streams.layout import Layout
from streams.replay import Log, Recording, _controls  # pyright: ignore[reportPrivateUsage]
from streams.simulator import Simulator

BEGIN_US = 1_790_000_000_000_000
LENGTH_US = 60_000_000


def log_of(name: str, stratified: bool = False) -> tuple[list[Read], JudgeSettings]:
    """A minute of a scenario as the judge's log: specs, shifts, cells, progress, a person's pause and resume."""
    scenario = scenarios.load(name)
    spec = scenario.spec
    if stratified:
        (spec,) = load_specs(f"{spec.source}\nstratify: segment\n")
    slo = Slo.model_validate({"service": spec.service, "environment": spec.environment, "objective": "99.9%"})
    config = load_config(None).model_copy(update={"slos": {"errors": slo}})
    settings = JudgeSettings.of(config, 0, 1, {"recorded": "recorded"})
    weights = {"control": 0.9, "canary": 0.1}
    batch = Simulator(scenario, 3, 300.0).events(BEGIN_US, BEGIN_US + LENGTH_US, weights)
    recording = Recording.of(pa.Table.from_batches([batch]))
    log = Log(recording, Layout.of(config), settings)
    controls = _controls([spec], recording, settings.window_us, ())
    deltas: list[Read] = [ControlCopy(i, control.encode()) for i, control in enumerate(controls[:2])]
    for number, end in enumerate(log.window_ends()):
        if number in (4, 6):
            word = Command(f"c{number}", "pause" if number == 4 else "resume")
            person = Control(scenario.spec.id, end, "ann", "lunch", word)
            deltas.append(ControlCopy(10 + number, person.encode()))
        deltas += log.until(end)
    return deltas, settings


def said(outputs: list[Output]) -> list[object]:
    return [output.to_avro() if isinstance(output, Record) else output for output in outputs]


@pytest.mark.parametrize(
    ("name", "stratified"), [("errors", False), ("errors", True), ("healthy", False), ("mismatch", False)]
)
def test_going_on_from_any_checkpoint_changes_nothing(name: str, stratified: bool) -> None:
    deltas, settings = log_of(name, stratified)
    whole = Judge(settings)
    expected = [said(whole.step(delta)) for delta in deltas]
    assert sum(map(len, expected)) > 20
    assert any(isinstance(output, dict) and "burns" in output for outputs in expected for output in outputs)
    for cut in range(1, len(deltas), 12 if stratified else 3):
        judge = Judge(settings)
        for delta in deltas[:cut]:
            judge.step(delta)
        restored = checkpoint.load(checkpoint.dump(judge), settings, judge.epoch)
        assert [said(restored.step(delta)) for delta in deltas[cut:]] == expected[cut:], f"cut at {cut}"


def test_a_state_from_before_arms_were_compared_within_segments_is_read() -> None:
    deltas, settings = log_of("errors")
    whole, judge = Judge(settings), Judge(settings)
    expected = [said(whole.step(delta)) for delta in deltas]
    for delta in deltas[:20]:
        judge.step(delta)
    form = checkpoint._schema()  # pyright: ignore[reportPrivateUsage]
    state: Any = fastavro.schemaless_reader(io.BytesIO(zlib.decompress(checkpoint.dump(judge))), form, None)
    rest = json.loads(state["rest"])
    assert rest.pop("strata") == []
    older = io.BytesIO()
    fastavro.schemaless_writer(older, form, {**state, "rest": json.dumps(rest)})
    restored = checkpoint.load(zlib.compress(older.getvalue()), settings, judge.epoch)
    assert [said(restored.step(delta)) for delta in deltas[20:]] == expected[20:]


def test_the_epoch_is_the_restorers() -> None:
    deltas, settings = log_of("healthy")
    judge = Judge(settings, epoch=4)
    for delta in deltas[:10]:
        judge.step(delta)
    assert checkpoint.load(checkpoint.dump(judge), settings, 5).epoch == 5
