"""What every detector promises, tested on all that discovery finds."""

from __future__ import annotations

import json
import math
from array import array
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyzers.detectors import DEFAULT, detector, names
from analyzers.detectors.base import Found
from analyzers.snapshot import dump, load

MINUTE_US = 60_000_000
values = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-3, 3).map(float),
    st.just(math.nan),
)
series = st.lists(values, max_size=60)


def found(name: str, rows: list[float], cuts: tuple[int, ...] = ()) -> Found:
    chosen = detector(name)
    state = chosen.start()
    scores, changes = array("d"), array("d")
    edges = [0, *sorted(cuts), len(rows)]
    for first, last in pairwise(edges):
        state, part = chosen.step(state, times(first, last), array("d", rows[first:last]))
        scores.extend(part.scores)
        changes.extend(part.changes)
    return Found(scores, changes)


def times(first: int, last: int) -> array[int]:
    return array("q", [1_700_000_000_000_000 + i * MINUTE_US for i in range(first, last)])


def noise(n: int, seed: int = 1) -> list[float]:
    """Near-normal numbers without a library's help."""
    out: list[float] = []
    for _ in range(n):
        total = 0.0
        for _ in range(12):
            seed = (seed * 6364136223846793005 + 1442695040888963407) % 2**64
            total += (seed >> 11) / 2**53
        out.append(total - 6.0)
    return out


@pytest.fixture(params=names())
def name(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_the_default_is_one_of_them() -> None:
    assert DEFAULT in names()
    with pytest.raises(KeyError):
        detector("base")


def test_says_where_it_comes_from(name: str) -> None:
    assert len(detector(name).source) > 20


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=series, cuts=st.lists(st.integers(0, 60), max_size=3))
def test_a_prefix_of_the_rows_gives_a_prefix_of_the_answers(name: str, rows: list[float], cuts: list[int]) -> None:
    rows = noise(50) + rows  # past the first rows, of which nothing is told
    whole = found(name, rows)
    assert len(whole.scores) == len(whole.changes) == len(rows)
    assert all(0 <= score <= 1 for score in whole.scores)
    assert set(whole.changes) <= {0.0, 1.0}
    places = tuple(min(cut + 40, len(rows)) for cut in cuts)
    assert found(name, rows, places) == whole
    for cut in places:
        part = found(name, rows[:cut])
        assert (part.scores, part.changes) == (whole.scores[:cut], whole.changes[:cut])


def test_steps_leave_a_state_as_it_was_and_restored_ones_go_on_alike(name: str) -> None:
    chosen = detector(name)
    rows = [*noise(70), *(value + 5 for value in noise(30, seed=2))]
    state, _ = chosen.step(chosen.start(), times(0, 60), array("d", rows[:60]))
    kept = json.dumps(dump(state))
    after, first = chosen.step(state, times(60, 100), array("d", rows[60:]))
    assert json.dumps(dump(state)) == kept
    restored = load(type(state), json.loads(kept))
    again, second = chosen.step(restored, times(60, 100), array("d", rows[60:]))
    assert first == second
    assert dump(again) == dump(after)


def test_a_missing_value_changes_nothing(name: str) -> None:
    rows = noise(80)
    with_gap = [*rows[:50], math.nan, *rows[50:]]
    gapless, gapped = found(name, rows), found(name, with_gap)
    assert (gapped.scores[50], gapped.changes[50]) == (0.0, 0.0)
    assert sum(gapped.changes) == sum(gapless.changes)


def test_a_constant_series_is_no_news(name: str) -> None:
    calm = found(name, [7.0] * 300)
    assert max(calm.scores) < 0.5
    assert sum(calm.changes) == 0
