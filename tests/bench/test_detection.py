"""The benchmark's scoring, by hand on small series."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.detection.nab import PROFILES, Series, half, scaled_sigmoid, score

STANDARD = PROFILES[0]


def series(windows: tuple[tuple[int, int], ...], rows: int = 100, name: str = "a") -> Series:
    return Series(name, tuple(str(i) for i in range(rows)), np.zeros(rows), windows)


def flagged(*rows: int, of: int = 100) -> np.ndarray:
    scores = np.zeros(of)
    scores[list(rows)] = 1.0
    return scores


def test_each_windows_first_row_and_nothing_else_is_perfect() -> None:
    one = series(((30, 39), (60, 79)))
    assert score([one], {"a": flagged(30, 60)}, STANDARD) == (pytest.approx(100.0), 1.0)


def test_nothing_flagged_is_zero_and_half_of_the_windows_is_half() -> None:
    one = series(((30, 39), (60, 79)))
    assert score([one], {"a": flagged(30)}, STANDARD)[0] == pytest.approx(50.0)
    assert score([one], {"a": np.zeros(100)}, STANDARD)[0] == pytest.approx(0.0)


def test_a_late_row_is_worth_less_and_a_false_one_costs() -> None:
    one = series(((30, 39),))
    late = score([one], {"a": flagged(39)}, STANDARD)[0]
    worth = float(scaled_sigmoid(-1 / 10) / scaled_sigmoid(-1.0))
    assert late == pytest.approx(100 * (worth + 1) / 2)
    false = score([one], {"a": flagged(30, 20)}, STANDARD)[0]
    assert false == pytest.approx(100 * (1 - 0.11 + 1) / 2)
    behind = score([one], {"a": flagged(30, 41)}, STANDARD)[0]
    assert behind == pytest.approx(100 * (1 + 0.11 * float(scaled_sigmoid(2 / 9)) + 1) / 2)


def test_rows_of_the_probation_are_not_judged() -> None:
    one = series(((5, 9), (60, 79)))
    assert one.probation == 15
    assert score([one], {"a": flagged(3, 60)}, STANDARD)[0] == pytest.approx(100 * (1 + 1) / (2 + 1))


def test_the_sigmoid_and_halves() -> None:
    assert float(scaled_sigmoid(-1.0)) == pytest.approx(2 / (1 + math.exp(-5)) - 1)
    files = tuple(series((), name=name) for name in "abcde")
    assert [each.name for each in half(files, 0)] == ["a", "c", "e"]
    assert [each.name for each in half(files, 1)] == ["b", "d"]
