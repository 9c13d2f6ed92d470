"""The probe for units that keep to one arm where the spec says that requests do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analyzers import trial as trials
from analyzers.arm import PairWindow
from analyzers.case import Situation
from analyzers.clustering import Clustering
from analyzers.judgement import judge
from bench.judgement.worlds import world
from tests.analyzers.builders import Traffic, arm, pair, spec


def fold(windows: list[PairWindow]) -> Clustering:
    clustering = Clustering()
    for window in windows:
        clustering = clustering.add(window)
    return clustering


def test_phi_is_the_formula() -> None:
    rng = np.random.default_rng(1)
    windows: list[PairWindow] = []
    offset, variance = np.zeros(128), 0.0
    for i in range(3):
        c, b = rng.integers(0, 128, 300), rng.integers(0, 128, 700)
        arms = [arm(len(x), measures={"duration_us": np.ones(len(x))}, buckets=x) for x in (c, b)]
        windows.append(pair(i, arms[0], arms[1]))
        nc, both = np.bincount(c, minlength=128), np.bincount(np.concatenate((c, b)), minlength=128)
        offset += nc - both * 0.3
        variance += 300 * 700 / 1000
    assert fold(windows).phi() == pytest.approx(128 / 127 * (offset**2).sum() / variance)


def test_requests_that_draw_their_arm_pass_also_where_the_share_wanders() -> None:
    for seed in range(20):
        traffic = Traffic(((0.1, 30), (0.5, 30)), rows=2000, latencies=True, users=True)
        assert fold(list(traffic.windows(seed))).fault() is None


def test_sticky_users_are_told_in_a_sentence_and_hold() -> None:
    sticky = replace(world("sticky-3"), steps=((0.5, 20),))
    experiment = spec(randomization="request", steps=("{weight: 50%, duration: 100s}",))
    trial = trials.start(experiment, "canary")
    for window in sticky.windows(1):
        trial = trials.step(trial, window)
    said = judge(experiment, trial, Situation(100_000_000, 0, 1, True, 0, 0))
    assert (said.action, said.conclusion) == ("HOLD", "INVALID")
    assert "say randomization: user (or session, shard)" in said.reason
    assert trials.resume(trial).invalid is None


def test_events_without_unit_id_say_nothing() -> None:
    assert fold([pair(i, arm(1000), arm(1000)) for i in range(10)]).fault() is None
