"""Evidence of an experiment begins where its first rows are, and ends where windows are closed, whatever came first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from schemas.config import load_config
from schemas.control import Annotation, Control, SpecApplied, WeightApplied, WeightIntent
from schemas.delta import Cell, Cells, ControlCopy, Progress
from schemas.verdict import Verdict
from streams import checkpoint
from streams.judge import Judge
from streams.judge_settings import JudgeSettings
from tests.streams.cells import packed_cells

BEGIN_US, WINDOW_US = 1_790_000_000_000_000, 5_000_000
SPEC = """\
apiVersion: davy/v1
kind: Experiment
id: e
service: s
environment: p
variants: {control: {version: '1'}, canary: {version: '2'}}
randomization: request
slis: [{name: errors, type: error_ratio, max_increase: 50%}]
steps: [{weight: 50%, duration: 1h}]
"""


def cell(version: str, window: int) -> Cell:
    return Cell(
        "e", "s", "p", version, None, (), BEGIN_US + window * WINDOW_US, 3, 3, 0, 0, 0, 0, 3 << 20, 0, 1 << 20, 1 << 20, 0,
        b"", b"", b"", (),
    )  # fmt: skip


def test_rows_from_before_the_first_weight_are_judged_only_once_their_window_is_closed() -> None:
    settings = JudgeSettings.of(load_config(None), 0, 1, {"t": "davy.events"})
    judge = Judge(settings)
    weights = {"control": 0.5, "canary": 0.5}
    words = (SpecApplied(SPEC, "e.yaml", "x"), WeightIntent("i", 0, weights), WeightApplied("i", 0, weights))
    applied_us = BEGIN_US + 2 * WINDOW_US + 1

    def progress(upto: int, rows: int, wall_us: int, latest_us: int | None) -> Progress:
        return Progress(
            settings.digest, "t", 0, 0, upto, rows, rows, 0, 0, 1, 1000 if rows else upto, latest_us, wall_us
        )

    judge.step(ControlCopy(0, Control("e", BEGIN_US, "a", "b", words[0]).encode(), -1))
    judge.step(progress(0, 0, BEGIN_US + WINDOW_US, None))  # idle: windows are closed up to BEGIN
    for number in (1, 2):
        judge.step(ControlCopy(number, Control("e", applied_us, "a", "b", words[number]).encode(), number - 1))
    cells = tuple(cell(version, window) for version in "12" for window in (-1, 0, 1))
    judge.step(packed_cells(Cells(settings.digest, "t", 0, 0, 18, cells)))
    outputs = judge.step(progress(18, 18, applied_us + WINDOW_US, BEGIN_US + 2 * WINDOW_US))  # closed up to window 1
    outputs += judge.step(ControlCopy(3, Control("e", applied_us + WINDOW_US, "a", "b", words[0]).encode(), 2))
    outputs += judge.step(ControlCopy(4, Control("e", applied_us + WINDOW_US, "a", "b", words[2]).encode(), 3))
    said = [output for output in outputs if isinstance(output, Verdict)]
    assert said
    for verdict in said:
        windows_closed = (verdict.event_time - (BEGIN_US - WINDOW_US)) // WINDOW_US
        assert verdict.evidence[0].n_candidate == 3 * min(3, windows_closed), "what is not closed is not evidence"


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (
            [replace(cell(version, 0), experiment_id=None) for version in "129"],
            "requests of s come without an experiment id, 3 of version 1 and 3 of version 2 lately: "
            "let events say experiment_id: e",
        ),
        (
            [cell("v1", 0), cell("v2", 0), replace(cell("2", 0), variant="green")],
            "requests of e are of none of its arms, 3 of variant green and 3 of version v1 and 3 of version v2 lately: "
            "the spec has control of version 1 and canary of version 2",
        ),
        (
            [replace(cell("1", 0), service="S"), replace(cell("1", 0), experiment_id=None, environment="q")],
            "requests that name e are of S in p, 3 lately: the spec is about s in p",
        ),
        (
            [replace(cell("1", 0), experiment_id=None, environment="q"), replace(cell("1", 0), experiment_id="f")],
            "requests without an experiment id are of s in q, 3 lately: the spec is about s in p",
        ),
        ([replace(cell("1", 0), experiment_id="f")], "check that it serves traffic and emits events"),
    ],
)
def test_requests_under_another_name_are_told_to_whom_waits_for_them(cells: list[Cell], said: str) -> None:
    settings = JudgeSettings.of(load_config(None), 0, 1, {"t": "davy.events"})
    judge = Judge(settings)
    judge.step(ControlCopy(0, Control("e", BEGIN_US, "a", "b", SpecApplied(SPEC, "e.yaml", "x")).encode(), -1))
    rows = 3 * len(cells)
    judge.step(packed_cells(Cells(settings.digest, "t", 0, 0, rows, tuple(cells))))
    end_us = BEGIN_US + 2 * WINDOW_US
    outputs = judge.step(Progress(settings.digest, "t", 0, 0, rows, rows, rows, 0, 0, 1, rows, end_us, end_us))
    (verdict,) = [output for output in outputs if isinstance(output, Verdict)]
    assert (verdict.action, verdict.conclusion) == ("HOLD", "NO_DATA")
    assert verdict.reason == f"no request of canary or control has been seen: {said}"


def served(window: int, rows: int, errors: int, segment: str | None = None) -> Cell:
    """A window of the canary alone."""
    return Cell(
        "e", "s", "p", "2", None, (segment,), BEGIN_US + window * WINDOW_US, rows, rows, errors, 0, 0, 0, rows << 20,
        errors << 20, 1 << 20, 1 << 20, 0, b"", b"", b"", (),
    )  # fmt: skip


def test_a_promoted_release_is_watched_also_by_the_judge_that_takes_over() -> None:
    settings = JudgeSettings.of(load_config(None), 0, 1, {"t": "davy.events"})
    judge = Judge(settings)
    promoted = {"control": 0.0, "canary": 1.0}
    words = (SpecApplied(SPEC, "e.yaml", "x"), WeightIntent("i", 0, promoted), WeightApplied("i", 0, promoted))
    for number, word in enumerate(words):
        judge.step(ControlCopy(number, Control("e", BEGIN_US, "a", "b", word).encode(), number - 1))
    for number, (name, window, text) in enumerate(
        (("e", 10, "long before"), ("flags", 79, "flag x was set")), len(words)
    ):
        note = Control(name, BEGIN_US + window * WINDOW_US, "a", "b", Annotation(text, ("flag",)))
        judge.step(ControlCopy(number, note.encode(), number - 1))
    said: list[Verdict] = []
    upto = 0
    for window in range(100):
        errors = 27 if window >= 80 else window % 3
        upto += 600
        parts = (served(window, 300, errors, "eu"), served(window, 200, 2, "us"), served(window, 100, 1))
        cells = Cells(settings.digest, "t", 0, 0, upto, parts)
        latest_us = BEGIN_US + (window + 1) * WINDOW_US
        outputs = judge.step(packed_cells(cells))
        outputs += judge.step(
            Progress(settings.digest, "t", 0, 0, upto, upto, upto, 0, 0, 1, upto, latest_us, latest_us + WINDOW_US)
        )
        said += [output for output in outputs if isinstance(output, Verdict)]
        if window == 82:
            judge = checkpoint.load(checkpoint.dump(judge), settings, epoch=2)
    assert {verdict.phase for verdict in said} == {"watch"}
    assert [verdict.action for verdict in said] == ["CONTINUE", "ROLLBACK"]
    last = said[-1]
    assert last.reason.startswith("errors rose from 0.6")
    assert last.reason.endswith("; segment eu carries 100 % of it; 5 s before it: flag x was set (flag)")
    assert last.change is not None
    assert (last.change.sli, last.change.begun_at) == ("errors", BEGIN_US + 80 * WINDOW_US)
    first = last.change.carriers[0]
    assert (first.dimension, first.value, first.after) == ("segment", "eu", 0.09)
    assert first.before == pytest.approx(1 / 300, rel=0.02)
    assert sum(one.dimension == "segment" for one in last.change.carriers) == 1, "others carry nothing"
    assert [link.text for link in last.change.links][-1] == "flag x was set (flag)"
    assert {link.kind for link in last.change.links} == {"annotation", "spec", "weights"}
    assert said[0].change is not None
    assert Verdict.decode(last.encode()) == last
    assert last.to_json()["change"]["begun_at"].endswith("Z")
    assert last.expires_at - last.issued_at == 24 * 3_600_000_000, "as long as a rollback is possible"
    assert (last.epoch, last.sequence) == (2, 2)


def mixed(version: str, window: int, rows: int, worse: int) -> list[Cell]:
    """Rows of which `worse` come from a segment in which a fifth fails; of the others a hundredth does."""
    found: list[Cell] = []
    for segment, n, errors in (("eu", rows - worse, (rows - worse) // 100), ("us", worse, worse // 5)):
        found.append(
            Cell(
                "e", "s", "p", version, None, (segment,), BEGIN_US + window * WINDOW_US, n, n, errors, 0, 0, 0, n << 20,
                errors << 20, 1 << 20, 1 << 20, 0, b"", b"", b"", (),
            )
        )  # fmt: skip
    return found


def verdicts_of(spec: str, dimensions: tuple[str, ...] = ("segment",)) -> list[Verdict]:
    """What is said of equal arms of which the canary gets more of the worse segment."""
    config = load_config(None).model_copy(update={"dimensions": dimensions})
    settings = JudgeSettings.of(config, 0, 1, {"t": "davy.events"})
    judge = Judge(settings)
    weights = {"control": 0.5, "canary": 0.5}
    words = (SpecApplied(spec, "e.yaml", "x"), WeightIntent("i", 0, weights), WeightApplied("i", 0, weights))
    for number, word in enumerate(words):
        judge.step(ControlCopy(number, Control("e", BEGIN_US, "a", "b", word).encode(), number - 1))
    said: list[Verdict] = []
    for window in range(12):
        upto = 2000 * (window + 1)
        cells = tuple(mixed("1", window, 1000, 100) + mixed("2", window, 1000, 600))
        latest_us = BEGIN_US + (window + 1) * WINDOW_US
        judge.step(packed_cells(Cells(settings.digest, "t", 0, 0, upto, cells)))
        progress = Progress(
            settings.digest, "t", 0, 0, upto, upto, upto, 0, 0, 1, upto, latest_us, latest_us + WINDOW_US
        )
        said += [output for output in judge.step(progress) if isinstance(output, Verdict)]
    return said


def test_a_worse_mix_is_no_harm_where_arms_are_compared_within_segments() -> None:
    assert verdicts_of(SPEC)[-1].action == "ROLLBACK", "Simpson's paradox, where it is not asked for"
    last = verdicts_of(f"{SPEC}stratify: segment\n")[-1]
    assert last.action == "CONTINUE"
    assert last.evidence[0].effect == pytest.approx(0, abs=0.02)


def test_segments_that_cells_do_not_tell_apart_are_not_compared_within() -> None:
    last = verdicts_of(f"{SPEC}stratify: endpoint\n")[-1]
    assert (last.action, last.conclusion) == ("HOLD", "INVALID")
    assert "add endpoint to dimensions in davy.yaml" in last.reason
