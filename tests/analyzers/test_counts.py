"""Section 1 against plain loops, its own promise (expectation at most 1) and the laws of a monoid."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzers.bursts import Kept
from analyzers.counts import (
    ABOVE,
    BELOW,
    FROM_START,
    WEIGHTS,
    Counts,
    log_control_factors,
    mean_of_logs,
)  # fmt: skip
from tests.analyzers.increments import increments
from tests.analyzers.oracles import binomial_chances, log_sum_exp

Window = tuple[int, int, int, int]
numbers = st.integers(1, 5000)
windows = st.lists(st.tuples(numbers, numbers, st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=8)


def plain(nc: float, nb: float, ec: float, eb: float, r0: float, d: float) -> list[float]:
    """The formula, letter by letter."""
    out: list[float] = []
    for r in [1.1, 1.25, 1.5, 2, 3, 5, 10, 30, 0.97, 0.93, 0.87, 0.75, 0.6, 0.4, 0.15, 0.02]:
        a = r * (r0 * nc + nb) / (r * r0 * nc + nb)
        b = (r0 * nc + nb) / (r * r0 * nc + nb)
        out.append(ec * math.log(a) + eb * math.log(b) - d * nc * (a - 1))
    return out


@given(numbers, numbers, st.integers(0, 50), st.integers(0, 50), st.floats(0.2, 3), st.floats(-0.01, 0.01))
def test_increments_are_the_formula(nc: int, nb: int, ec: int, eb: int, r0: float, d: float) -> None:
    rows = increments(nc, nb, ec, eb, r0, d)
    assert rows.shape == (1, 16)
    np.testing.assert_allclose(rows[0], plain(nc, nb, ec, eb, r0, d), rtol=1e-9, atol=1e-9)


def test_margins_and_events_may_be_columns() -> None:
    r0, ec = np.array([0.9, 1.0, 1.5]), np.array([1.0, 2.0, 3.0])
    rows = increments(100, 300, ec, 4.0, r0)
    for row, e, r in zip(rows, ec, r0, strict=True):
        np.testing.assert_allclose(row, plain(100, 300, e, 4, r, 0))


@given(numbers, numbers, st.integers(0, 50), st.integers(0, 50), st.floats(0.2, 3), st.floats(0, 1), st.floats(0, 1))
def test_what_is_not_believed_is_dropped_and_lowers_evidence(
    nc: int, nb: int, ec: int, eb: int, r0: float, part_c: float, part_b: float
) -> None:
    full = increments(nc, nb, ec, eb, r0)[0]
    cut = increments(nc, nb, ec, eb, r0, kept=Kept(part_c, part_b))[0]
    assert (cut <= full + 1e-9).all()
    np.testing.assert_allclose(cut[ABOVE], increments(nc, nb, ec * part_c, eb, r0)[0, ABOVE], atol=1e-9)
    np.testing.assert_allclose(cut[BELOW], increments(nc, nb, ec, eb * part_b, r0)[0, BELOW], atol=1e-9)


@given(numbers, numbers, st.integers(0, 50), st.integers(0, 50), st.floats(-0.01, 0.01))
def test_tilt_moves_an_absolute_margin(nc: int, nb: int, ec: int, eb: int, d: float) -> None:
    still = Counts.zero(1, 0).add(nc, nb, ec, eb, np.zeros(0, np.bool_))
    moved = still.sums[0] - d * still.tilt
    np.testing.assert_allclose(moved, increments(nc, nb, ec, eb, 1.0, d)[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("r0", "d", "p_b"), [(1.0, 0.0, 0.3), (1.1, 0.0, 0.05), (1.0, 0.02, 0.1), (0.7, 0.0, 0.9)])
def test_expectation_is_at_most_one_on_the_border(r0: float, d: float, p_b: float) -> None:
    """Exactly, by summing over both binomials."""
    nc, nb = 12, 30
    p_c = r0 * p_b + d
    ec, eb = np.arange(nc + 1.0), np.arange(nb + 1.0)
    chance = binomial_chances(ec, nc, p_c)[:, None] * binomial_chances(eb, nb, p_b)[None, :]
    every = increments(nc, nb, np.repeat(ec, nb + 1), np.tile(eb, nc + 1), r0, d).reshape(nc + 1, nb + 1, 16)
    assert ((chance[:, :, None] * np.exp(every)).sum(axis=(0, 1)) <= 1 + 1e-12).all()


def build(items: list[Window], starts: int = 3) -> Counts:
    counts = Counts.zero(1, starts)
    for i, (nc, nb, ec, eb) in enumerate(items):
        begun = np.arange(starts) < i
        counts = counts.add(nc, nb, ec, eb, begun, 1.0, 0.001)
    return counts


@given(windows, windows)
def test_sums_of_parts_are_the_sum_of_the_whole(left: list[Window], right: list[Window]) -> None:
    a, b = build(left, 0), build(right, 0)
    whole = build(left + right, 0)
    for merged in (a + b, b + a, a + b + Counts.zero(1, 0)):
        np.testing.assert_allclose(merged.sums, whole.sums, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(merged.tilt, whole.tilt, rtol=1e-9, atol=1e-9)


@given(windows, st.floats(1, 20))
def test_log_e_is_the_mixture(items: list[Window], phi: float) -> None:
    counts = build(items, 0)
    total = np.sum([plain(*item, 1.0, 0.001) for item in items], axis=0)
    for bets, logs in ((ABOVE, total[:8] / phi + np.log(WEIGHTS)), (BELOW, total[8:] / phi - math.log(8))):
        expected = log_sum_exp(logs)
        assert counts.log_e(bets, phi) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert counts.log_harm(phi) == counts.log_e(ABOVE, phi)


def test_start_points_share_the_rest_of_the_weight() -> None:
    items = [(100, 100, 1, 1), (100, 100, 9, 1), (100, 100, 9, 2), (100, 100, 8, 0)]
    counts = build(items)  # start points before windows 1, 2, 3
    logs = np.array([plain(*item, 1.0, 0.001)[:8] for item in items])
    e = [float(np.exp(logs[s:].sum(axis=0)) @ WEIGHTS) for s in range(4)]
    assert counts.log_harm() == pytest.approx(math.log(FROM_START * e[0] + (1 - FROM_START) * (e[1] + e[2] + e[3]) / 3))


def test_a_start_point_that_has_not_begun_counts_as_one() -> None:
    counts = Counts.zero(1, 4).add(100, 100, 9, 1, np.zeros(4, np.bool_))
    first = math.exp(counts.log_e(ABOVE))
    assert counts.log_harm() == pytest.approx(math.log(FROM_START * first + 1 - FROM_START))


def test_a_begun_start_point_stays_begun() -> None:
    counts = Counts.zero(1, 1).add(100, 100, 9, 1, np.array([True])).add(100, 100, 9, 1, np.array([False]))
    np.testing.assert_allclose(counts.later[0], 2 * increments(100, 100, 9, 1)[0, ABOVE])


def test_bets_below_the_limit_may_mean_harm() -> None:
    factors, begun = log_control_factors(100, 100, np.array([0.7, 1.0])), np.array([True, False])
    counts = Counts.zero(2, 2).add_betted(9, 1, factors, begun, BELOW).add_betted(3, 4, factors, begun, BELOW)
    for row, r0 in zip(counts.sums, (0.7, 1.0), strict=True):
        np.testing.assert_allclose(row, np.add(plain(100, 100, 9, 1, r0, 0), plain(100, 100, 3, 4, r0, 0)))
    np.testing.assert_allclose(counts.later, [counts.sums[0, BELOW], np.zeros(8)])


def test_log_means_do_not_overflow() -> None:
    assert mean_of_logs([5000.0, 0.0]) == pytest.approx(5000 - math.log(2))
    assert mean_of_logs([-5000.0]) == -5000.0
