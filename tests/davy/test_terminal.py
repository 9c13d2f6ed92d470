"""What a person sees: nothing is cut off where it matters, at any width, with and without colour."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from davy.scene import Scene
from davy.terminal import change, duration, progress, render
from schemas.verdict import Action
from streams.scenario import load
from tests.davy.scenes import BEGIN, scene, verdict

WIDTHS = (60, 80, 100, 120, 140, 200)


def drawn(made: Scene, width: int, **options: bool) -> str:
    out = io.StringIO()
    Console(file=out, width=width, **options).print(render(made, width))  # pyright: ignore[reportArgumentType]  # flags
    return out.getvalue()


@pytest.mark.parametrize("width", WIDTHS)
def test_the_essentials_are_there_at_any_width(width: int) -> None:
    text = drawn(scene(), width)
    for needed in (
        "✖ ROLLBACK",
        "HARM",
        "errors rose from 0.45 %",
        "http://127.0.0.1:7070",
        "control",
        "canary 2.4.1",
    ):
        assert needed in " ".join(text.split())
    for figure in ("2512", "412 events", "dead letters 3", "restarts 1", "late 0", "dropped 0", "verdicts 2"):
        assert figure in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("width", [100, 120, 140, 200])
def test_no_figure_of_the_evidence_is_cut_off(width: int) -> None:
    lines = drawn(scene(), width).splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("evidence on"))
    end = next(i for i, line in enumerate(lines) if line.startswith("what happened"))
    table = "\n".join(lines[begin:end]).replace(" … ", " ")
    assert "…" not in table
    assert "+2.04 pp" in table
    assert ("+0.5 pp" in table) == (width >= 112)
    assert "not asked for" in table


def test_the_view_before_anything_came() -> None:
    made = Scene(load("healthy").spec, "healthy", "http://127.0.0.1:1", 4.0, BEGIN, BEGIN)
    text = drawn(made, 120)
    assert "waiting for the first closed window" in text
    assert "nothing yet" in text
    assert "lag –" in text


def test_the_height_does_not_change_while_the_time_line_grows() -> None:
    made = scene()
    before = drawn(made, 120).count("\n")
    made.take(replace(verdict("HOLD", 3), verdict_id="x"))
    assert drawn(made, 120).count("\n") == before


def test_bars_can_be_told_without_colour() -> None:
    text = drawn(scene(), 120, no_color=True)
    assert "━━━━━━━━ 2512" in text
    assert "╌╌╌╌╌╌╌╌ 0.10" in text


def test_no_colour_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    out = io.StringIO()
    Console(file=out, width=120, force_terminal=True).print(render(scene(), 120))
    assert "\x1b[3" not in out.getvalue()


@pytest.mark.parametrize(
    ("action", "step", "path"),
    [
        ("CONTINUE", 1, "● 10 % ── ◉ 25 % ── ○ 50 % ── ○ 100 %"),
        ("ROLLBACK", 1, "● 10 % ── ✖ 25 % ── ○ 50 % ── ○ 100 %"),
        ("PROMOTE", 2, "● 10 % ── ● 25 % ── ● 50 % ── ● 100 %"),
    ],
)
def test_the_path_shows_where_the_rollout_is(action: Action, step: int, path: str) -> None:
    made = scene()
    made.take(replace(verdict(action, 5), step=step))
    assert path in drawn(made, 120)


@pytest.mark.parametrize(("evidence", "part"), [(0.0, 0.0), (1.0, 0.0), (20.0, 0.5), (400.0, 1.0), (1e300, 1.0)])
def test_progress_is_that_of_the_logarithm(evidence: float, part: float) -> None:
    assert progress(evidence, 400.0) == pytest.approx(part)


def test_differences_are_in_the_tolerances_own_unit() -> None:
    slis = {sli.name: sli for sli in load("errors").spec.slis}
    assert change(slis["errors"], -0.00106) == "-0.106 pp"
    assert change(slis["latency-p99"], 0.25) == "+25 %"
    assert change(slis["traffic"], None) == "?"


def test_durations_are_for_people() -> None:
    assert [duration(us) for us in (None, 12.0, 1_500.0, 2_000_000.0)] == ["–", "12 µs", "1.5 ms", "2 s"]
