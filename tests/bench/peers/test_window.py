"""Counting in plain Python gives what Davy's histogram gives."""

from __future__ import annotations

import json

import numpy as np

from analyzers import histogram
from bench.peers.peer import Window
from bench.peers.window import BINS_PER_OCTAVE, KEY, add, bin_of, empty, key_of, key_text, summed, window_of


def test_bins_are_those_of_the_histogram() -> None:
    values = [
        *range(1, 5000),
        *(2**k + d for k in range(13, 44) for d in (-1, 0, 1)),
        *map(int, np.logspace(1, 13, 5000)),
    ]
    assert [bin_of(value) for value in values] == histogram.bin_of(np.array(values, np.float64)).tolist()
    assert BINS_PER_OCTAVE == histogram.BINS_PER_OCTAVE


def test_a_state_survives_json_and_keeps_every_count() -> None:
    state = empty()
    for status, duration in ((200, 1000), (500, 1000), (499, 7), (503, 90000)):
        state = add(json.loads(json.dumps(state)), {"status": status, "duration_us": duration})
    assert window_of(state) == Window(4, 2, 92007, {bin_of(1000): 2, bin_of(7): 1, bin_of(90000): 1})


def test_a_key_survives_text_nulls_included() -> None:
    event = dict(zip(KEY, ("exp", "cart", "production", "2.4.0", "canary", None), strict=True))
    assert key_of(key_text(event)) == ("exp", "cart", "production", "2.4.0", "canary", None)


def test_parts_of_a_window_add_up() -> None:
    key = (("e",), 0)
    parts = [
        (key, Window(1, 0, 5, {3: 1})),
        (key, Window(2, 1, 6, {3: 1, 4: 1})),
        ((("f",), 0), Window(1, 1, 1, {0: 1})),
    ]
    assert summed(parts) == {key: Window(3, 1, 11, {3: 2, 4: 1}), (("f",), 0): Window(1, 1, 1, {0: 1})}
    assert parts[0][1] == Window(1, 0, 5, {3: 1})
