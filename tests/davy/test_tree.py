"""What `davy status --watch` draws: whole at any width, in words as well as in colour, the worst first."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from davy.tree import ALONE, tree
from davy.web.state import Experiment, State
from tests.support.served import ID, SECOND, another, applied, story, verdict

END = 1_760_000_000 * SECOND


def state() -> State:
    made = State()
    for record in story(END):
        made.take(record)
    return made


def drawn(held: State, names: list[str], now_us: int = END + 2 * SECOND, width: int = 100, height: int = 40) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(tree(held, names, now_us, height))
    return out.getvalue()


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_one_experiment_with_its_arms_evidence_and_ledger(width: int) -> None:
    text = drawn(state(), [ID], width=width)
    assert max(map(len, text.splitlines())) <= width
    words = " ".join(text.split())
    for needed in (ID, "control", "canary", "✖ ROLLBACK HARM", "errors rose from 0.45 %", "ledger", "rollback davy:"):
        assert needed in words, needed
    assert "━" in text


def test_an_expired_verdict_says_so_and_no_verdict_does_too() -> None:
    held = State()
    held.take(applied(time_us=END))
    assert "no verdict yet" in drawn(held, [ID])
    held.take(verdict("CONTINUE", "INCONCLUSIVE", 1, END))
    assert "▸ CONTINUE" in drawn(held, [ID])
    assert "■ CONTINUE, expired" in drawn(held, [ID], END + 3600 * SECOND)


def test_of_many_each_has_a_line_the_worst_first_and_the_rest_is_counted() -> None:
    held = State()
    for index in range(30):
        spec = another(f"s-{index:02d}")
        held.experiments[spec.id] = Experiment(spec, 1, "ann", {"control": 0.9, "canary": 0.1})
        held.take(verdict("ROLLBACK" if index == 20 else "CONTINUE", "HARM", 1, END, spec=spec))
    text = drawn(held, list(held.experiments), height=12).splitlines()
    assert len(text) == 11 > ALONE
    assert text[0].startswith("✖ ROLLBACK s-20")
    assert text[-1].startswith("and 20 more")


def test_nothing_is_a_sentence() -> None:
    assert "put one in force with davy apply" in drawn(State(), [])
