"""First errors of affected units: each counts once a step, in bounded memory, and finds sooner what clumped errors hide."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from analyzers.arm import ArmWindow, PairWindow, SparseCounts
from analyzers.counts import Counts
from analyzers.dispersion import Clumps
from analyzers.firsts import ALL, UNITS_MAX, Firsts
from analyzers.kernels import value_loops
from analyzers.snapshot import dump, load
from bench.judgement.promises import NEVER, NOTHING, run, spec
from bench.judgement.worlds import Effect, world
from schemas.delta import AFFECTED_MAX

NOTHING_BEGUN = np.zeros(0, np.bool_)
ROWS = 1000


def window(control: list[int], candidate: list[int], step: int = 0, at: int = 0) -> PairWindow:
    """Both arms of `ROWS` rows, of which those units (hashes) failed; as of many cells, the least `AFFECTED_MAX` of each."""

    def arm(units: list[int]) -> ArmWindow:
        keys, counts = np.unique(np.array(sorted(units)[:AFFECTED_MAX], np.int64), return_counts=True)
        one = 1 << 20
        return ArmWindow(
            ROWS, len(units), 0, 0, ROWS, ROWS * one, len(units) * one, one, one, affected=SparseCounts(keys, counts)
        )

    return PairWindow(at, at + 1, arm(control), arm(candidate), 0.5, step, True)


def after(*windows: PairWindow) -> Firsts:
    held = Firsts.zero(0)
    for each in windows:
        held = held.add(each, ROWS, ROWS, 1.0, 0.0, NOTHING_BEGUN)
    return held


def counted(*events: tuple[int, int]) -> Firsts:
    """With those first errors of the candidate and of control."""
    counts, clumps = Counts.zero(1, 0), Clumps.zero()
    for ec, eb in events:
        kept = clumps.believed(ROWS, ROWS, ec, eb)
        counts = counts.add(ROWS, ROWS, ec, eb, NOTHING_BEGUN, kept=kept)
        clumps = clumps.add(ROWS, ROWS, ec, eb, 1.0, None, kept)
    return Firsts(counts, clumps)


def test_a_unit_counts_once_a_step_however_often_it_fails() -> None:
    again = after(window([1], [5, 6, 7]), window([1], [5, 6, 7, 8]), window([1], [5, 8], step=1))
    assert again.log_harm() == pytest.approx(counted((3, 1), (1, 0), (2, 1)).log_harm(), abs=1e-12)
    assert again.candidate.tolist() == [5, 8]
    assert load(Firsts, json.loads(json.dumps(dump(again)))).log_harm() == again.log_harm()


def test_of_more_units_than_cells_know_a_random_part_counts_in_both_arms() -> None:
    crowd = list(range(0, 2 * AFFECTED_MAX * 10, 10))
    held = after(window(crowd, [5, 15, 10**6]))
    assert held.below == crowd[AFFECTED_MAX - 1]
    assert held.candidate.tolist() == [5, 15]
    assert held.control.tolist() == crowd[: AFFECTED_MAX - 1]
    assert held.log_harm() == pytest.approx(counted((2, AFFECTED_MAX - 1)).log_harm(), abs=1e-12)


def test_what_is_remembered_is_bounded() -> None:
    held, units = Firsts.zero(0), iter(np.random.default_rng(1).permutation(1 << 20).tolist())
    for _ in range(400):
        held = held.add(window([next(units) for _ in range(20)], []), ROWS, ROWS, 1.0, 0.0, NOTHING_BEGUN)
    assert UNITS_MAX // 2 < len(held.control) <= UNITS_MAX
    assert held.below < ALL
    assert held.control.max() < held.below


def test_weighted_rows_say_nothing() -> None:
    one = window([1], [5])
    assert after(replace(one, candidate=replace(one.candidate, weight_min=1))).step == -1


def test_the_kernel_agrees_with_sets() -> None:
    rng = np.random.default_rng(3)
    for _ in range(300):
        seen, keys = (np.unique(rng.integers(0, 50, rng.integers(0, 20))) for _ in range(2))
        below, most = int(rng.integers(1, 60)), int(rng.integers(1, 30))
        held, new, limit = value_loops().first_seen(seen, keys, below, most)
        both = sorted(key for key in {*seen.tolist(), *keys.tolist()} if key < below)
        assert held.tolist() == both[:most]
        assert new == len({key for key in keys.tolist() if key < below} - set(seen.tolist()))
        assert limit == (both[most] if len(both) > most else below)


def test_harm_to_many_sticky_users_is_found_sooner_than_by_their_errors_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    where = world("sticky-10", steps=((0.5, 60),))
    asked = spec(where, NOTHING, "errors")

    def requests() -> list[int]:
        harm = Effect(errors=3, since=10)
        return [run(where, asked, seed, harm, stop=True).rollback_requests for seed in range(5)]

    with_firsts = requests()
    monkeypatch.setattr("analyzers.slis.error_ratio.ErrorRatio.errors", False)
    without = requests()
    assert max(with_firsts) < NEVER
    assert np.median(with_firsts) < 0.7 * np.median(without)
