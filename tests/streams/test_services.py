"""Services without an experiment: their changes are told, by version, as a pure function of the log, within a limit."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

import pytest

from analyzers import service_watch
from schemas.config import load_config
from schemas.control import Control, SpecApplied, WeightApplied
from schemas.delta import Cell, Cells, ControlCopy, Progress
from schemas.verdict import Verdict
from schemas.watching import Watching
from streams import checkpoint
from streams.judge import Judge
from streams.judge_settings import JudgeSettings
from streams.services import watch_id
from tests.streams.cells import packed_cells

BEGIN_US, WINDOW_US = 1_790_000_000_000_000, 5_000_000
SpecId = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
CONFIG = load_config(None)
SETTINGS = replace(JudgeSettings.of(CONFIG, 0, 1, {"t": "davy.events"}), block_records=1 << 40)
"""All in one block."""
SPEC = """\
apiVersion: davy/v1
kind: Experiment
id: e
service: cart
environment: prod
variants: {control: {version: '1'}, canary: {version: '2'}}
slis: [{name: errors, type: error_ratio, max_increase: 50%}]
steps: [{weight: 50%, duration: 10h}]
"""


def served(
    window: int, errors: int, version: str = "1", rows: int = 1000, experiment: str | None = None, service: str = "cart"
) -> Cell:
    """What one version did in a window."""
    return Cell(
        experiment, service, "prod", version, None, (), BEGIN_US + window * WINDOW_US, rows, rows, errors, 0, 0, 0,
        rows << 20, errors << 20, 1 << 20, 1 << 20, 0, b"", b"", b"", (),
    )  # fmt: skip


def told(windows: Iterable[list[Cell]], judge: Judge, cut: int = -1) -> tuple[list[Verdict], Judge]:
    """Every verdict, and the judge after it; taken over by another one at window `cut`."""
    said: list[Verdict] = []
    upto = 0
    for number, cells in enumerate(windows):
        upto += sum(cell.rows for cell in cells)
        block = Cells(SETTINGS.digest, "t", 0, 0, upto, tuple(cells))
        latest_us = BEGIN_US + (number + 1) * WINDOW_US
        outputs = judge.step(packed_cells(block)) if cells else []
        outputs += judge.step(
            Progress(SETTINGS.digest, "t", 0, 0, upto, upto, upto, 0, 0, 1, upto, latest_us, latest_us + WINDOW_US)
        )
        said += [output for output in outputs if isinstance(output, Verdict)]
        if number == cut:
            judge = checkpoint.load(checkpoint.dump(judge), judge.settings, epoch=1)
    return said, judge


def noise(window: int) -> int:
    """Errors of a window where nothing happens: 4 to 6 of 1,000."""
    return 4 + window * 7 % 3


def regression(window: int, begin: int = 100, end: int = 160) -> int:
    return 40 if begin <= window < end else noise(window)


@pytest.mark.parametrize("cut", [-1, 104])
def test_a_regression_is_told_once_and_its_end_too_also_by_the_judge_that_takes_over(cut: int) -> None:
    windows = ([served(w, regression(w)), served(w, noise(w), "2")] for w in range(240))
    said, _ = told(windows, Judge(SETTINGS), cut)
    assert [(v.action, v.conclusion) for v in said] == [
        ("CONTINUE", "INCONCLUSIVE"), ("HOLD", "HARM"), ("CONTINUE", "HEALTHY"),
    ]  # fmt: skip
    assert {(v.experiment_id, v.variant, v.phase, v.weight) for v in said} == {("watch.cart.prod", "1", "watch", 1.0)}
    assert [v.sequence for v in said] == [1, 2, 3]
    harm, over = said[1:]
    assert harm.reason.startswith("errors rose from 0.499 % to 4 % at ")
    assert "promotion" not in harm.reason
    assert (harm.evidence[0].variant, harm.evidence[0].status) == ("1", "HARM")
    assert harm.change is not None
    assert harm.change.begun_at == BEGIN_US + 100 * WINDOW_US
    assert [(one.dimension, one.value) for one in harm.change.carriers] == [("version", "1")]
    assert "errors went from 0.499 % to 4 %: over, it is back at 0." in over.reason
    assert Verdict.decode(harm.encode()) == harm


def test_a_spike_is_an_anomaly_and_nothing_is_told_where_nothing_happens() -> None:
    said, _ = told(([served(w, 60 if w == 100 else noise(w))] for w in range(300)), Judge(SETTINGS))
    (anomaly,) = said
    assert (anomaly.action, anomaly.change and anomaly.change.kind) == ("CONTINUE", "anomaly")
    assert anomaly.reason.startswith("errors rose from 0.5 % to 6 % at ")
    assert ": an anomaly of 5 s, on which nothing acts" in anomaly.reason


def test_traffic_that_vanishes_is_that_of_the_service_whatever_a_deploy_does_with_versions() -> None:
    def window(w: int) -> list[Cell]:
        moved = served(w, 5, "1" if w < 100 else "2")
        return [moved] if w < 200 else [served(w, 1, "2", rows=200)]

    said, judge = told(map(window, range(260)), Judge(SETTINGS))
    assert {(v.variant, v.change and v.change.sli) for v in said} == {("*", "traffic")}
    assert said[1].conclusion == "HARM"
    assert said[1].reason.startswith("traffic fell from 200 requests/s to 40 requests/s")
    assert judge.services.watched == 2, "version 1 is forgotten"


def test_requests_of_an_experiment_are_its_own_until_it_ends() -> None:
    judge = Judge(SETTINGS)
    applied = Control("e", BEGIN_US, "a", "b", SpecApplied(SPEC, "e.yaml", "x"))
    judge.step(ControlCopy(0, applied.encode(), -1))
    windows = ([served(w, regression(w), v, experiment="e") for v in "12"] for w in range(130))
    said, judge = told(windows, judge)
    assert {v.experiment_id for v in said} == {"e"}
    assert judge.services.watched == 0


def test_what_was_usual_before_an_experiment_is_usual_for_the_release_that_it_promotes() -> None:
    more = "{name: load, type: throughput, max_decrease: 30%}, {name: cpu, type: resource_mean, field: cpu_us}, "
    text = SPEC.replace("slis: [", f"slis: [{more}")
    _, judge = told(([served(w, 5)] for w in range(60)), Judge(SETTINGS))
    applied = Control("e", BEGIN_US + 60 * WINDOW_US, "a", "b", SpecApplied(text, "e.yaml", "x"))
    judge.step(ControlCopy(0, applied.encode(), -1))
    known = judge.experiments["e"].usual
    assert {name: set(usual.minutes) for name, usual in known.items()} == {"errors": {0.005}, "load": {200.0}}
    judge = checkpoint.load(checkpoint.dump(judge), SETTINGS, epoch=1)
    promoted = Control("e", BEGIN_US + 61 * WINDOW_US, "a", "b", WeightApplied("i", 0, {"control": 0.0, "canary": 1.0}))
    judge.step(ControlCopy(1, promoted.encode(), 0))
    series = judge.experiments["e"].watches["canary"].series
    held = {one.sli: one.usual for one in series}
    assert held["cpu"] is None
    assert [usual and set(usual.minutes) for usual in (held["errors"], held["load"])] == [{0.005}, {200.0}]


def test_what_is_too_much_is_left_out_and_counted() -> None:
    limits = CONFIG.limits.model_copy(update={"watched_versions": 3})
    settings = JudgeSettings.of(CONFIG.model_copy(update={"limits": limits}), 0, 1, {})
    _, judge = told(([served(w, 5, str(v)) for v in range(5)] for w in range(4)), Judge(settings))
    assert (judge.services.watched, judge.services.left_out) == (3, 3)


def test_ids_follow_the_rules_of_experiments_and_are_never_shared() -> None:
    assert watch_id("cart", "prod") == "watch.cart.prod"
    names = [("a.b", "c"), ("a", "b.c"), ("a/b", "c"), ("a b", "c"), ("x" * 200, "c"), ("x" * 201, "c"), ("é", "c")]
    ids = [watch_id(*name) for name in names]
    assert len(set(ids)) == len(ids)
    assert all(SpecId.fullmatch(name) for name in ids)


def test_what_is_allowed_is_configured() -> None:
    """Two percentage points more errors are told, or are within `watch: {errors: 5pp}`."""
    story = [[served(n, 5 if n < 60 else 25)] for n in range(100)]
    for allowed, action in (("0.5pp", "HOLD"), ("5pp", None)):
        config = CONFIG.model_copy(update={"watch": Watching(errors=allowed)})
        settings = replace(JudgeSettings.of(config, 0, 1, {"t": "davy.events"}), block_records=1 << 40)
        said, _ = told(story, Judge(settings))
        assert (action in {verdict.action for verdict in said}) == (action is not None)
    assert service_watch.digest(Watching()) != service_watch.digest(Watching(errors="5pp"))
    with pytest.raises(ValueError, match="allows nothing"):
        Watching(errors="0pp")
