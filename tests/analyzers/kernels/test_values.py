"""Compiled loops over histograms against the same in whole columns, or value by value."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzers.histogram import BINS, MIDPOINTS
from analyzers.kernels import values
from schemas.delta import QUARTERS

Counts = tuple[np.ndarray, np.ndarray]
sparse = st.dictionaries(st.integers(0, 400), st.integers(1, 50), min_size=1, max_size=30).map(
    lambda held: (np.array(sorted(held), np.int64), np.array([held[key] for key in sorted(held)], np.int64))
)


def tail(counts: Counts, x: int) -> int:
    keys, held = counts
    return int(held[keys >= x].sum())


@given(sparse, sparse)
def test_merged(a: Counts, b: Counts) -> None:
    keys, counts = values.merged(*a, *b)
    dense = np.zeros(401, np.int64)
    for each in (a, b):
        dense[each[0]] += each[1]
    assert keys.tolist() == dense.nonzero()[0].tolist()
    assert counts.tolist() == dense[dense > 0].tolist()
    weighted, _ = b[1].astype(np.float64) * 0.25, None
    assert values.merged(*a, b[0], weighted)[1].sum() == a[1].sum() + weighted.sum()


@given(sparse, sparse, st.floats(0.5, 200), st.integers(-20, 20))
def test_edges_are_the_lowest_with_no_more_than_the_target(c: Counts, b: Counts, target: float, shift: int) -> None:
    table = np.clip(np.arange(BINS + 1)[None, :] + np.array([[shift], [0]]), 0, BINS)
    edge_b, edge_c, slow_c, slow_b, equal = values.edges(*c, *b, table, target)
    for row in range(2):
        edge = next(x for x in range(BINS + 1) if tail(c, int(table[row, x])) + tail(b, x) <= target)
        assert (edge_b[row], edge_c[row]) == (edge, table[row, edge])
        assert (slow_c[row], slow_b[row]) == (tail(c, int(table[row, edge])), tail(b, edge))
    assert equal == tail(b, int(edge_c[1]))


@given(sparse, sparse, st.floats(0.01, 1))
def test_quantiles(a: Counts, b: Counts, q: float) -> None:
    both = np.sort(np.concatenate([np.repeat(*a), np.repeat(*b)]))
    place = max(int(np.ceil(q * len(both) - 1e-9)), 1)
    assert values.pooled_quantile(*a, *b, q) == both[place - 1]
    one = np.repeat(*a)
    parts = np.array([q / 2, q])
    expected = [one[max(int(np.ceil(part * len(one) - 1e-9)), 1) - 1] for part in parts]
    assert values.quantiles(*a, parts).tolist() == expected
    low, weights = values.weighted(0, np.zeros(0), *a, 1.0, 64)
    assert low + values.weighted_quantile(weights, q) == expected[1]


@given(sparse, sparse)
def test_a_profile_keeps_what_it_had(a: Counts, b: Counts) -> None:
    low, weights = values.weighted(*values.weighted(0, np.zeros(0), *a, 0.5, 64), *b, 2.0, 64)
    dense = np.zeros(1024)
    dense[a[0]] += 0.5 * a[1]
    dense[b[0]] += 2.0 * b[1]
    np.testing.assert_allclose(weights, dense[low : low + len(weights)])
    assert weights.sum() == pytest.approx(dense.sum())
    assert low % 64 == len(weights) % 64 == 0


@given(sparse, st.floats(0, 100))
def test_moments_with_a_cap(a: Counts, cap: float) -> None:
    keys, counts = a[0] + 1200, a[1]
    each = np.minimum(np.repeat(MIDPOINTS[keys], counts), cap)
    n, mean, squares = values.moments(keys, counts, MIDPOINTS, cap)
    assert (n, mean) == (len(each), pytest.approx(float(each.mean())))
    assert squares == pytest.approx(float(((each - each.mean()) ** 2).sum()), abs=1e-6)


def test_by_unit() -> None:
    keys = np.array([3 * QUARTERS + 7, 3 * QUARTERS + 9, 90 * QUARTERS + 8], np.int64)
    counts, midpoints = np.array([2, 5, 4], np.int64), np.arange(QUARTERS, dtype=np.float64)
    rows, sums = values.by_unit(keys, counts, midpoints, 8.5)
    assert (rows[3], rows[90], rows.sum()) == (7, 4, 11)
    assert (sums[3], sums[90]) == (2 * 7 + 5 * 8.5, 4 * 8)
    assert values.unit_rows(keys, counts).tolist() == rows.tolist()
    assert values.copies(np.array([1, 3, 1, 2], np.int64)) == (7, 2)
    rows, slow = values.slow_by_unit(keys, counts, 8)
    assert (rows[3], slow[3], slow[90]) == (7, 5, 4)
