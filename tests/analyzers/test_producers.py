"""HARM and SAFETY that hang on one producer are told from those that all producers bear out."""

from __future__ import annotations

import numpy as np
import pytest

from analyzers.producers import LEFT, Arms, harm_by_one, safe_by_one
from tests.analyzers import builders

ERRORS, MEAN, P99 = builders.sli(builders.ERRORS), builders.sli(builders.MEAN), builders.sli(builders.P99)
CPU = builders.sli(builders.CPU)


def served(
    seed: int, control: dict[str, float], candidate: dict[str, float], rows: int = 200, slow: dict[str, float] | None = None
) -> list[Arms]:  # fmt: skip
    """60 windows in which each instance fails with its own rate, and takes `slow` times as long."""
    rng = np.random.default_rng(seed)

    def told(name: str, rate: float) -> tuple[int, int, int, int]:
        n = int(rng.poisson(rows))
        return n, int(rng.binomial(n, rate)), n, int(n * 20_000 * (slow or {}).get(name, 1.0) * rng.normal(1, 0.02))

    return [
        ({name: told(name, p) for name, p in control.items()}, {name: told(name, p) for name, p in candidate.items()})
        for _ in range(60)
    ]


def pods(prefix: str, *rates: float) -> dict[str, float]:
    return {f"{prefix}-{i}": rate for i, rate in enumerate(rates)}


def test_the_harm_of_one_bad_pod_hangs_on_it() -> None:
    windows = served(1, pods("a", 0.005, 0.005, 0.005), pods("b", 0.005, 0.2, 0.005))
    found = harm_by_one([ERRORS], windows)
    assert found is not None
    assert (found.candidate, found.name) == (True, "b-1")
    assert found.share == pytest.approx(1 / 3, abs=0.02)


def test_a_control_pod_that_is_too_good_is_found_too() -> None:
    """Its silence about errors makes the others' usual rate look like harm."""
    windows = served(2, {**pods("a", 0.02, 0.02), "mute": 0.0}, pods("b", 0.02, 0.02, 0.02))
    weighty = [({**control, "mute": (2000, 0, 2000, 40_000_000)}, candidate) for control, candidate in windows]
    found = harm_by_one([ERRORS], weighty)
    assert found is not None
    assert (found.candidate, found.name) == (False, "mute")
    assert found.share == pytest.approx(5 / 6, abs=0.02)


@pytest.mark.parametrize("pods_of_the_candidate", [3, 4, 10])
def test_harm_that_all_share_hangs_on_none(pods_of_the_candidate: int) -> None:
    rates = [0.02] * pods_of_the_candidate
    for seed in range(100):
        windows = served(seed, pods("a", 0.005, 0.005, 0.005), pods("b", *rates), rows=20)
        assert harm_by_one([ERRORS], windows) is None


def test_two_bad_pods_are_no_single_one_and_of_two_nobody_knows_which_is_odd() -> None:
    assert harm_by_one([ERRORS], served(3, pods("a", 0.005, 0.005), pods("b", 0.1, 0.1, 0.005, 0.005))) is None
    assert harm_by_one([ERRORS], served(3, pods("a", 0.005, 0.005), pods("b", 0.1, 0.005))) is None


def test_slow_pods_and_slis_that_sums_do_not_tell() -> None:
    rates = pods("b", 0.005, 0.005, 0.005)
    one_slow = served(4, pods("a", 0.005, 0.005, 0.005), rates, slow={"b-2": 3.0})
    for sli in (MEAN, P99):
        found = harm_by_one([sli], one_slow)
        assert found is not None
        assert found.name == "b-2"
    assert harm_by_one([MEAN, CPU], one_slow) is None, "cpu may be harmed by all"
    all_slow = served(4, pods("a", 0.005, 0.005, 0.005), rates, slow=dict.fromkeys(rates, 1.5))
    assert harm_by_one([MEAN], all_slow) is None


def test_safety_that_one_producer_outvotes() -> None:
    windows = served(5, pods("a", 0.005, 0.005, 0.005), pods("b", 0.05, 0.05, 0.05))
    crowd = [(control, {**candidate, "load": (20_000, 20, 20_000, 4 * 10**8)}) for control, candidate in windows]
    found = safe_by_one([CPU, ERRORS], crowd)
    assert found is not None
    assert (found[0].name, found[1].name) == ("errors", "load")
    assert found[1].share > 0.9
    assert safe_by_one([ERRORS], crowd[:11]) is None, "too few windows"


def test_a_good_release_hangs_on_none() -> None:
    wrong = 0
    for seed in range(100):
        windows = served(seed, pods("a", 0.005, 0.005, 0.005), pods("b", 0.005, 0.005, 0.005, 0.005))
        wrong += safe_by_one([ERRORS, MEAN], windows) is not None
    assert wrong == 0


def test_nothing_at_all_and_order_do_not_matter() -> None:
    assert harm_by_one([], []) is None
    assert harm_by_one([ERRORS], []) is None
    assert safe_by_one([ERRORS], [({}, {})]) is None
    windows = served(1, pods("a", 0.005, 0.005, 0.005), pods("b", 0.005, 0.2, 0.005))
    turned = [(dict(reversed(control.items())), dict(reversed(candidate.items()))) for control, candidate in windows]
    assert harm_by_one([ERRORS], windows) == harm_by_one([ERRORS], turned)
    assert 0 < LEFT < 1
