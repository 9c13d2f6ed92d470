"""Section 4 against scipy, and the gate's behaviour over steps."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analyzers.arm import ArmWindow, PairWindow
from analyzers.sample_ratio import LOG_LIMIT, SampleRatio, log_evidence, traffic
from tests.analyzers.builders import ONE, arm, pair
from tests.analyzers.oracles import chance_of_so_many, log_beta


@pytest.mark.parametrize(
    ("x", "n", "rho"), [(0, 10, 0.5), (530, 1000, 0.5), (9, 1000, 0.01), (70, 1000, 0.1), (990, 1000, 0.99)]
)
def test_evidence_is_the_formula(x: int, n: int, rho: float) -> None:
    small = min(rho, 1 - rho)
    p = min(max(x / n, rho - 0.05 * small), rho + 0.05 * small)
    expected = (
        log_beta(50 * rho + x, 50 * (1 - rho) + n - x) - log_beta(50 * rho, 50 * (1 - rho))
        - x * math.log(p) - (n - x) * math.log(1 - p)
    )  # fmt: skip
    assert log_evidence(x, n, rho) == pytest.approx(expected, rel=1e-9, abs=1e-7)


def run(true_share: float, share: float, windows: int, seed: int = 0, steps: int = 1, rows: int = 1000) -> str | None:
    rng = np.random.default_rng(seed)
    ratio = SampleRatio(units=False, steps=steps)
    for i in range(windows):
        x = int(rng.binomial(rows, true_share))
        ratio = ratio.add(pair(i, arm(x), arm(rows - x), share))
        if sentence := ratio.mismatch():
            return sentence
    return None


def test_a_wrong_split_is_found_and_named() -> None:
    sentence = run(0.4, 0.5, 50)
    assert sentence is not None
    assert "50 % is configured" in sentence


def test_a_split_within_tolerance_is_never_a_mismatch() -> None:
    assert run(0.52, 0.5, 500) is None


def test_a_fair_split_fires_at_most_as_often_as_promised() -> None:
    fired = sum(run(0.1, 0.1, 60, seed) is not None for seed in range(300))
    assert chance_of_so_many(fired, 300, 0.001) > 1e-3


def test_the_first_window_of_every_step_is_left_out() -> None:
    ratio = SampleRatio(units=False, steps=2)
    ratio = ratio.add(pair(0, arm(1000), arm(0), 0.5))
    assert ratio.n == 0
    ratio = ratio.add(pair(1, arm(500), arm(500), 0.5))
    assert ratio.n == 1000
    ratio = ratio.add(pair(2, arm(1000), arm(0), 0.6, step=1))
    assert (ratio.step, ratio.n) == (1, 0)


def test_every_step_has_its_share_of_the_alarm() -> None:
    one = SampleRatio(False, 1, 0, 0.5, 600, 1000)
    assert one.log_e() > LOG_LIMIT
    assert one.mismatch() is not None
    assert SampleRatio(False, 1000, 0, 0.5, 600, 1000).mismatch() is None


@pytest.mark.parametrize("share", [None, 0.0, 1.0])
def test_unknown_and_one_sided_weights_are_passed_over(share: float | None) -> None:
    ratio = SampleRatio(False, 1).add(pair(0, arm(100), arm(0), share)).add(pair(1, arm(100), arm(0), share))
    assert ratio.log_e() == 0


def test_unsteady_windows_are_passed_over() -> None:
    ratio = SampleRatio(False, 1).add(pair(0, arm(5), arm(5)))
    assert ratio.add(pair(1, arm(100), arm(0), steady=False)).n == 0


def test_sampled_rows_count_by_weight() -> None:
    sampled = ArmWindow(rows=100, weight=1000 * ONE, weight_min=10 * ONE, weight_max=10 * ONE)
    window = PairWindow(0, 1, arm(1000), sampled, 0.5, 0, True)
    assert traffic(window) == (100, 100)
    assert traffic(pair(0, arm(0), arm(0))) == (0, 0)


def sticky(seed: int, users: int) -> SampleRatio:
    """Users keep their arm and send 50 requests each over 20 windows."""
    rng = np.random.default_rng(seed)
    who = rng.integers(0, 128, users)
    mine = rng.random(users) < 0.5
    ratio = SampleRatio(units=True, steps=1)
    for i in range(20):
        active = np.repeat(np.arange(users), rng.poisson(2.5 * rng.gamma(0.5, 2.0, users)))
        arms = [active[mine[active]], active[~mine[active]]]
        built = [
            arm(
                len(rows),
                buckets=who[rows],
                failed=np.zeros(len(rows), np.bool_),
                measures={"duration_us": np.ones(len(rows))},
            )
            for rows in arms
        ]
        ratio = ratio.add(pair(i, built[0], built[1]))
    return ratio


def test_sticky_users_make_no_mismatch() -> None:
    """With 150 users the split of requests is off by far more than independent requests would be."""
    ratios = [sticky(seed, 150) for seed in range(12)]
    assert max(log_evidence(ratio.x, ratio.n, 0.5) for ratio in ratios) > LOG_LIMIT
    assert all(ratio.mismatch() is None for ratio in ratios)


def test_too_few_buckets_are_not_judged() -> None:
    assert sticky(1, 8).log_e() == 0
