"""The recount is right, and finds every way in which a peer can be wrong."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise

import pytest

from bench.peers.peer import Window, Windows
from bench.peers.topic import Events, difference
from bench.peers.window import KEY, WINDOW_US, add, empty, window_of
from davy.bench import rows

EVENTS = Events(3000, 7, 1_790_000_000_000_000)


def test_the_recount_equals_counting_event_by_event() -> None:
    states: dict[object, dict[str, object]] = defaultdict(empty)
    for batch, _, _ in rows(EVENTS.events, EVENTS.experiments, EVENTS.end_us):
        stamps = batch.column("timestamp").cast("int64").to_pylist()
        for stamp, event in zip(stamps, batch.to_pylist(), strict=True):
            add(states[tuple(event[name] for name in KEY), stamp // WINDOW_US * WINDOW_US], event)
    assert EVENTS.recount() == {key: window_of(state) for key, state in states.items()}


def test_the_same_numbers_give_the_same_events() -> None:
    first, second = (list(rows(500, 3, EVENTS.end_us)) for _ in range(2))
    assert all(a[0].equals(b[0]) and a[1:] == b[1:] for a, b in zip(first, second, strict=True))
    assert all(a <= b for a, b in pairwise(first[0][1]))


def _one_bin_off(window: Window) -> Window:
    moved = Counter(window.bins)
    place = next(iter(moved))
    moved[place] -= 1
    moved[place + 1] += 1
    return replace(window, bins=dict(moved))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda w: replace(w, rows=w.rows - 1), "its windows hold"),
        (lambda w: replace(w, errors=w.errors + 1), "the recount says"),
        (lambda w: replace(w, total=w.total + 1), "the recount says"),
        (_one_bin_off, "the recount says"),
    ],
)
def test_a_wrong_window_is_told(spoil: object, told: str) -> None:
    expected = EVENTS.recount()
    assert difference(dict(expected), expected) is None
    found: Windows = dict(expected)
    key = next(iter(found))
    found[key] = spoil(found[key])  # type: ignore[operator]
    assert told in str(difference(found, expected))


def test_rows_in_the_wrong_window_are_told() -> None:
    expected = EVENTS.recount()
    found = {(key, start + WINDOW_US): window for (key, start), window in expected.items()}
    assert "the recount says" in str(difference(found, expected))


def test_a_count_of_events_is_compared_alone() -> None:
    expected = EVENTS.recount()
    assert difference(3000, expected) is None
    assert difference(2999, expected) == "it read 2,999 events, 3,000 were written"
