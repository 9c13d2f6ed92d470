"""Section 2 against plain loops, and what phi does with clumps and without."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analyzers.bursts import Kept
from analyzers.dispersion import Buckets, Clumps, ShareClumps, bucket_sums
from analyzers.scatter import Scatter

B = 128


def windows(seed: int, count: int, clump: int = 1) -> list[tuple[Buckets, Buckets]]:
    """Both arms' buckets per window; errors come in clumps of one bucket."""
    rng = np.random.default_rng(seed)
    out: list[tuple[Buckets, Buckets]] = []
    for _ in range(count):
        arms: list[Buckets] = []
        for mean in (4, 30):
            requests = rng.poisson(mean, B).astype(np.float64)
            sufferers = rng.binomial(int(requests.sum()), 0.02 / clump)
            events = bucket_sums(rng.integers(0, B, sufferers), np.full(sufferers, clump))
            arms.append(Buckets(requests, events))
        out.append((arms[0], arms[1]))
    return out


def fold(items: list[tuple[Buckets, Buckets]], r0: float = 1.0) -> Clumps:
    clumps = Clumps.zero()
    for c, b in items:
        nc, nb, ec, eb = (float(x.sum()) for x in (c.requests, b.requests, c.events, b.events))
        clumps = clumps.add(nc, nb, ec, eb, r0, (c, b))
    return clumps


@pytest.mark.parametrize("r0", [1.0, 1.3])
def test_phi_is_the_formula(r0: float) -> None:
    items = windows(1, 15)
    big_g, big_b = [0.0] * B, [0.0] * B
    v0 = errors_b = numerator = denominator = 0.0
    zs: list[float] = []
    for c, b in items:
        nc, nb, ec, eb = (float(x.sum()) for x in (c.requests, b.requests, c.events, b.events))
        g, q = nb / (r0 * nc + nb), r0 * nc / nb
        for j in range(B):
            rc = c.events[j] - c.requests[j] * ec / nc
            rb = b.events[j] - b.requests[j] * eb / nb
            big_g[j] += g * (rc - q * rb)
            big_b[j] += rb
        v0 += g * g * (ec + q * q * eb)
        errors_b += eb
        f = (1 + numerator) / (1 + denominator)
        pi = f * nc / (f * nc + nb)
        if (ec + eb) * pi < 1:
            share = (ec + 3 / 8) / (ec + eb + 3 / 4)
            zs.append(2 * math.sqrt(ec + eb) * (math.asin(math.sqrt(share)) - math.asin(math.sqrt(pi))))
        else:
            zs.append((ec - (ec + eb) * pi) / math.sqrt((ec + eb) * pi * (1 - pi)))
        numerator += ec * nb / (nc + nb)
        denominator += eb * nc / (nc + nb)
    clumps = fold(items, r0)
    assert clumps.phi_unit() == pytest.approx(B / (B - 1) * sum(x * x for x in big_g) / v0)
    assert clumps.phi_control() == pytest.approx(B / (B - 1) * sum(x * x for x in big_b) / errors_b)
    scatter = Scatter()
    for z in zs:
        scatter = scatter.add(z)
    assert clumps.phi_time() == pytest.approx(scatter.variance())
    assert clumps.matched_c == pytest.approx(numerator)


def test_independent_events_have_a_design_effect_near_one_and_clumps_their_size() -> None:
    assert fold(windows(2, 200)).phi() == pytest.approx(1.0, abs=0.35)
    clumped = fold(windows(3, 200, clump=8))
    assert clumped.phi_unit() == pytest.approx(8, rel=0.35)
    assert clumped.phi_control() == pytest.approx(8, rel=0.35)


def test_an_arms_own_bursts_tell_from_the_second_window_on() -> None:
    clumps, seen = Clumps.zero(), []
    for i in range(12):
        clumps = clumps.add(1000, 1000, 50.0 if i % 2 else 0.0, 10)
        seen.append(clumps.phi())
    assert seen[0] == 1.0
    assert 2 < seen[1] < seen[2] < seen[-1]
    assert seen[-1] > 10


def test_what_is_expected_is_learnt_without_what_is_not_believed() -> None:
    half, full = (Clumps.zero().add(1000, 1000, 40, 10, kept=kept) for kept in (Kept(0.5), Kept()))
    assert half.expected(1000, 1000) == pytest.approx(11 / 17)  # 1 + 20 / 2 against 1 + 10 / 2
    assert full.expected(1000, 1000) == pytest.approx(21 / 27)
    assert half.matched_c == full.matched_c == 20


def test_nothing_seen_is_no_clump() -> None:
    empty = Clumps.zero()
    assert empty.phi() == 1.0
    assert empty.add(10, 10, 0, 0).phi() == 1.0
    nothing = Buckets(np.zeros(B), np.zeros(B))
    assert empty.add(10, 10, 1, 0, 1.0, (nothing, nothing)).phi() == 1.0


def test_share_clumps_are_the_formula_and_a_monoid() -> None:
    rng = np.random.default_rng(4)
    parts: list[ShareClumps] = []
    z, total = np.zeros(B), 0.0
    for share in (0.1, 0.5):
        c, b = rng.poisson(3, B).astype(np.float64), rng.poisson(9, B).astype(np.float64)
        parts.append(ShareClumps.zero().add(c, b, share))
        z += c * (1 - share) - b * share
        total += float((c + b).sum()) * share * (1 - share)
    for merged in (parts[0] + parts[1], parts[1] + parts[0] + ShareClumps.zero()):
        expected = max(1.0, B / (B - 1) * sum((x - z.mean()) ** 2 for x in z) / total)
        assert merged.phi() == pytest.approx(expected)


def test_effective_buckets() -> None:
    few = np.zeros(B)
    few[:10] = 7
    assert ShareClumps.zero().effective_buckets() == 0
    assert ShareClumps.zero().add(few, few, 0.5).effective_buckets() == pytest.approx(10)
