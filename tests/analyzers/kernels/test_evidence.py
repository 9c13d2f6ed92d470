"""Compiled sums of evidence against the same in whole columns."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzers.counts import ABOVE, BELOW, FROM_START, WEIGHTS, Counts
from analyzers.kernels import evidence

RNG = np.random.default_rng(7)
NONE = np.zeros(16)


def log_mean(rows: np.ndarray) -> np.ndarray:
    return np.logaddexp.reduce(rows, axis=-1) - math.log(rows.shape[-1])


@pytest.mark.parametrize("starts", [0, 1, 15])
@pytest.mark.parametrize("phi", [1.0, 3.7])
def test_harm_is_the_weighted_mean_over_start_points(starts: int, phi: float) -> None:
    sums, later = RNG.normal(0, 30, (1, 16)), RNG.normal(0, 30, (starts, 8))
    counts = Counts(sums, NONE, later, np.ones(starts, np.bool_))
    for bets, weights in ((ABOVE, np.log(np.array(WEIGHTS) * 8)), (BELOW, np.zeros(8))):
        first = log_mean(sums[0, bets] / phi + weights)
        expected = first
        if starts:
            others = log_mean(log_mean(later / phi + weights))
            expected = np.logaddexp(first + math.log(FROM_START), others + math.log(1 - FROM_START))
        assert counts.log_harm(phi, bets) == pytest.approx(float(expected), rel=1e-12)
        assert counts.log_e(bets, phi) == pytest.approx(float(first), rel=1e-12)


@given(st.integers(0, 40), st.integers(0, 40), st.floats(0.5, 20))
def test_an_end_lies_where_the_limit_is_passed(low: int, high: int, limit: float) -> None:
    """HARM falls through the limit between `low` - 1 and `low`, SAFETY rises through it between `high` and `high` + 1."""
    margins = np.arange(41.0)
    sums = np.empty((41, 16))
    sums[:, ABOVE] = (limit + (low - margins - 0.5))[:, None]
    sums[:, BELOW] = (limit + (margins - high - 0.5))[:, None]
    lower, upper = evidence.bounds(margins, sums, NONE, 0.0, 1.0, np.zeros(8), limit)
    assert math.isnan(lower) if low == 0 else low - 1 <= lower <= low
    assert math.isnan(upper) if high == 40 else high <= upper <= high + 1


def test_residuals_of_units_and_of_means() -> None:
    requests = RNG.integers(1, 50, (2, 128)).astype(np.float64)
    events = RNG.integers(0, 5, (2, 128)).astype(np.float64)
    (rc, rb), (ec, eb) = requests, events
    own = eb - rb * eb.sum() / rb.sum()
    g, q = rb.sum() / (1.1 * rc.sum() + rb.sum()), 1.1 * rc.sum() / rb.sum()
    zero = np.zeros(128)
    difference, control, variance, held = evidence.unit_residuals(zero, zero, rc, ec, rb, eb, 1.1)
    assert variance == pytest.approx(g * g * (ec.sum() + q * q * eb.sum()))
    assert held == eb.sum()
    np.testing.assert_allclose(difference, g * (ec - rc * ec.sum() / rc.sum() - q * own), atol=1e-9)
    np.testing.assert_allclose(control, own, atol=1e-9)
    difference, control, buckets = evidence.mean_residuals(zero, zero, zero, rc, ec, rb, eb, 3.0, 1.1, 2.0)
    part = 3 * 1.1 * own / (rb.sum() * 2)
    np.testing.assert_allclose(control, part, atol=1e-12)
    np.testing.assert_allclose(difference, 3 * (ec - rc * ec.sum() / rc.sum()) / (rc.sum() * 2) - part, atol=1e-12)
    np.testing.assert_allclose(buckets, rc)
    nothing = evidence.mean_residuals(zero, zero, zero, zero, zero, zero, zero, 3.0, 1.1, 2.0)
    assert all(not part.any() for part in nothing)


def test_clustered_is_the_probes_formula() -> None:
    rows, c, b = RNG.normal(size=128), RNG.integers(0, 30, 128), RNG.integers(0, 30, 128)
    offset, held, variance = evidence.clustered(rows, rows, c, b)
    nc, n = c.sum(), (c + b).sum()
    np.testing.assert_allclose(offset, rows + c - (c + b) * nc / n, atol=1e-9)
    np.testing.assert_allclose(held, rows + c + b, atol=1e-9)
    assert variance == pytest.approx(nc * (n - nc) / n)
    nothing = evidence.clustered(rows, rows, np.zeros(128, np.int64), b)
    assert nothing[2] == 0
    np.testing.assert_array_equal(nothing[0], rows)
