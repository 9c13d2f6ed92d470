"""The breaker's table, exhausted; runs of results against it."""

from __future__ import annotations

from itertools import product
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.breaker import TRANSITIONS, Breaker, NoTransition, Signal
from schemas.probe import Circuit

NEW = Breaker(open_after=3, close_after=2)


@pytest.mark.parametrize(("circuit", "signal"), list(product(get_args(Circuit), Signal)))
def test_every_pair_is_in_the_table_or_raises(circuit: Circuit, signal: Signal) -> None:
    breaker = Breaker(3, 2, circuit)
    if (circuit, signal) in TRANSITIONS:
        assert breaker.signal(signal).circuit == TRANSITIONS[circuit, signal]
    else:
        with pytest.raises(NoTransition):
            breaker.signal(signal)


def test_it_opens_cools_is_tried_and_closes() -> None:
    breaker, seen = NEW, []
    for ok in (True, False, False, True, False, False, False):
        breaker = breaker.result(ok)
        seen.append(breaker.circuit)
    assert seen == ["CLOSED"] * 6 + ["OPEN"]
    assert breaker.error_ratio == pytest.approx(5 / 7)
    with pytest.raises(NoTransition):
        breaker.result(True)
    tried = breaker.cooled()
    assert [tried.circuit, tried.result(False).circuit, tried.result(True).circuit] == [
        "HALF_OPEN",
        "OPEN",
        "HALF_OPEN",
    ]
    assert tried.result(True).result(True).circuit == "CLOSED"


@given(st.lists(st.booleans(), max_size=60))
def test_it_is_open_only_after_failures_in_a_row(results: list[bool]) -> None:
    breaker = NEW
    run = 0
    for ok in results:
        tried = breaker.circuit == "OPEN"
        breaker = (breaker.cooled() if tried else breaker).result(ok)
        run = 0 if ok else run + 1
        if breaker.circuit == "OPEN":
            assert run >= 1
        if not tried and breaker.circuit == "OPEN" and run < 3:
            assert breaker.recent[-2:] != (True, True)
        assert len(breaker.recent) <= 20
