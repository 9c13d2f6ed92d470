"""Section 3 against plain loops and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analyzers.dispersion import bucket_sums
from analyzers.means import (
    CV2_FLOOR,
    PRIOR_INFORMATION,
    Means,
    Sample,
    half_width,
    log_evidence,
    log_normal_cdf,
)  # fmt: skip
from analyzers.scatter import Scatter
from tests.analyzers.oracles import normal_log_cdf, normal_log_density

B = 128


def sample(values: list[float], buckets: list[int] | None = None) -> Sample:
    x = np.array(values)
    mean, squares = float(x.mean()), float(((x - x.mean()) ** 2).sum())
    if buckets is None:
        return Sample(len(values), mean, squares)
    where = np.array(buckets)
    return Sample(len(values), mean, squares, bucket_sums(where, np.ones(len(x))), bucket_sums(where, x))


@pytest.mark.parametrize("x", [-300.0, -40.0, -30.0, -29.9, -5.0, 0.0, 3.0, 50.0])
def test_log_normal_cdf(x: float) -> None:
    assert log_normal_cdf(x) == pytest.approx(normal_log_cdf(x), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(("d", "i"), [(0.1, 1000.0), (-0.1, 1000.0), (0.0, 1.0), (0.3, 1e7), (-0.5, 1e6)])
def test_evidence_is_the_mixture(d: float, i: float) -> None:
    """The half-normal mixture of likelihood ratios, integrated numerically."""
    tau = 1 / math.sqrt(PRIOR_INFORMATION)
    mu = np.concatenate(([0.0], np.geomspace(1e-9, 12 * tau, 2_000_001)))
    logs = math.log(2) + normal_log_density(mu, tau) + i * (mu * d - mu * mu / 2)
    top = logs.max()
    expected = top + math.log(float(np.trapezoid(np.exp(logs - top), mu)))
    assert log_evidence(d, i) == pytest.approx(expected, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("limit", [math.log(20), math.log(200), 30.0])
@pytest.mark.parametrize("information", [1.0, 100.0, 1e5])
def test_half_width_is_where_the_evidence_reaches_the_limit(limit: float, information: float) -> None:
    assert log_evidence(half_width(information, limit), information) == pytest.approx(limit, rel=1e-6)


@pytest.mark.parametrize("units", [False, True])
def test_information_is_the_formula(units: bool) -> None:
    rng = np.random.default_rng(5)
    ratio = 1.05
    means = Means(ratio, units)
    s = h_sum = h2c = h2b = qc = qb = fc = fb = 0.0
    scatter = Scatter()
    full, own_part = [0.0] * B, [0.0] * B
    for _ in range(14):
        nc, nb = int(rng.integers(20, 60)), int(rng.integers(100, 200))
        xc, xb = rng.lognormal(0, 0.5, nc).tolist(), rng.lognormal(0, 0.5, nb).tolist()
        jc, jb = rng.integers(0, B, nc).tolist(), rng.integers(0, B, nb).tolist()
        means = means.add(sample(xc, jc if units else None), sample(xb, jb if units else None))
        mc, mb, h = sum(xc) / nc, sum(xb) / nb, nc * nb / (nc + nb)
        delta = mc / mb - ratio
        s, h_sum, h2c, h2b = s + h * delta, h_sum + h, h2c + h * h / nc, h2b + h * h / nb
        qc += sum((x - mc) ** 2 for x in xc) / mb**2
        qb += sum((x - mb) ** 2 for x in xb) / mb**2
        fc, fb = fc + nc - 1, fb + nb - 1
        u = delta * math.sqrt(h)
        scatter = scatter.add(u)
        for j in range(B):
            rc = sum(x - mc for x, k in zip(xc, jc, strict=True) if k == j) / (nc * mb)
            rb = ratio * sum(x - mb for x, k in zip(xb, jb, strict=True) if k == j) / (nb * mb)
            full[j] += h * (rc - rb)
            own_part[j] += h * rb
    cvc, cvb = qc / fc, qb / fb
    v1 = max(cvc, ratio**2 * cvb) * h2c + ratio**2 * cvb * h2b
    v3 = h_sum * scatter.variance(v1 / h_sum)
    v2 = B / (B - 1) * sum(x * x for x in full) if units else 0.0
    deff = max(1.0, B / (B - 1) * sum(x * x for x in own_part) / (ratio**2 * cvb * h2b)) if units else 1.0
    assert means.d == pytest.approx(s / h_sum)
    assert means.information() == pytest.approx(h_sum**2 / max(deff * max(v1, v3), v2))


def test_not_ready_before_enough_requests_and_buckets() -> None:
    some = sample([1.0, 2.0] * 99, [0] * 198)
    means = Means(1.0, False).add(some, some)
    assert not means.ready()
    assert means.log_e(5.0, means.information()) == 0.0
    assert means.add(some, some).ready()
    clustered = Means(1.0, True).add(some, some).add(some, some)
    assert not clustered.ready()
    spread = sample([1.0, 2.0] * 200, list(range(32)) * 12 + [0] * 16)
    assert Means(1.0, True).add(spread, spread).ready()


def test_constant_values_are_known_no_better_than_the_bins() -> None:
    same = sample([7.0] * 400)
    means = Means(1.0, False).add(same, same)
    h = 200.0
    assert means.information() == pytest.approx(h * h / (2 * CV2_FLOOR * h * h / 400))


def test_an_absolute_margin_shifts_the_candidate() -> None:
    slow, fast = sample([12.0, 14.0] * 50), sample([10.0, 12.0] * 50)
    assert Means(1.0, False).add(slow, fast, 2.0).d == pytest.approx(0)
