"""The watch after a promotion: regressions are found and rolled back, spikes and harmless releases are not."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from analyzers import snapshot, watch
from analyzers.arm import ArmWindow
from analyzers.judgement import Judgement
from analyzers.usual import HELD, WEEK, Usual
from analyzers.watch import Watch
from tests.analyzers.builders import ERRORS, MEAN, P99, TRAFFIC, WINDOW_US, arm, pair, spec

SPEC = spec(ERRORS, TRAFFIC, policy="{sustained: 15s, alpha: 0.01}")
PROMOTED = watch.BEFORE
"""The window in which the release got all traffic."""
Windows = dict[int, ArmWindow]


def traffic(seed: int, count: int, errors: dict[int, float], rows: int = 1000, lost: int | None = None) -> Windows:
    """Windows of a service with 0.5 % errors; `errors`: another share in some; from `lost` on half the requests are gone."""
    rng = np.random.default_rng(seed)
    held: Windows = {}
    for index in range(count):
        n = int(rng.poisson(rows * (0.5 if lost is not None and index >= lost else 1.0)))
        held[index] = arm(n, int(rng.binomial(n, errors.get(index, 0.005))))
    return held


def watched(windows: Windows, *, cut: bool = False) -> Iterator[tuple[int, Watch, Judgement | None]]:
    """Each window's number, the watch after it, what it says; `cut`: kept as JSON and taken back each time."""
    held = watch.start(SPEC, "canary", PROMOTED * WINDOW_US, 0)
    for index, content in windows.items():
        if held.done:
            return
        then = held.reference_us
        control = arm(0) if then is None else windows[then // WINDOW_US]
        held, said = watch.step(SPEC, held, content, pair(index, content, control))
        if cut:
            held = snapshot.load(Watch, json.loads(json.dumps(snapshot.dump(held))))
        yield index, held, said.judgement if said else None


def words(windows: Windows) -> list[tuple[int, Judgement]]:
    return [(index, said) for index, _, said in watched(windows) if said is not None]


def test_a_regression_after_the_promotion_is_rolled_back_with_when_it_began() -> None:
    begun = PROMOTED + 60
    windows = traffic(1, begun + 100, dict.fromkeys(range(begun, begun + 100), 0.03))
    (opened, first), (told, last) = words(windows)
    assert (first.action, first.conclusion, first.weight) == ("CONTINUE", "INCONCLUSIVE", 1.0)
    assert first.reason.startswith("errors rose from 0.488 % to 3.49 %")
    assert "at 00:17:00 UTC (" in first.reason
    assert "5 min after the promotion: whether it is more than is allowed is asked of what follows" in first.reason
    assert (last.action, last.conclusion, last.weight) == ("ROLLBACK", "HARM", 0.0)
    assert "evidence" in last.reason
    assert "that alpha 0.0025 asks for" in last.reason, "the first question may spend half of what questions may"
    assert begun <= opened <= begun + 4
    assert opened < told <= opened + 12
    errors = last.evidence[0]
    assert errors.status == "HARM"
    assert errors.n_candidate < 13_000, "the windows that raised the alarm are no evidence"


def test_means_and_percentiles_of_little_traffic_are_watched_too() -> None:
    """20 requests a window, which take twice as long from some time on."""
    rng, begun = np.random.default_rng(8), PROMOTED + 60
    told: set[str] = set()
    for name, held in (("mean", MEAN), ("p99", P99)):
        asked = spec(held, policy="{sustained: 15s, alpha: 0.01}")
        windows: Windows = {}
        state = watch.start(asked, "canary", PROMOTED * WINDOW_US, 0)
        for index in range(begun + 150):
            if state.done:
                break
            durations = np.exp(rng.normal(10, 0.5, 20)) * (2.0 if index >= begun else 1.0)
            windows[index] = arm(20, measures={"duration_us": durations})
            then = state.reference_us
            control = arm(0) if then is None else windows[then // WINDOW_US]
            state, said = watch.step(asked, state, windows[index], pair(index, windows[index], control))
            if said is not None and said.judgement.action == "ROLLBACK":
                told.add(name)
    assert told == {"mean", "p99"}


def test_traffic_that_ends_altogether_is_rolled_back() -> None:
    windows = traffic(9, PROMOTED + 150, {})
    windows |= {index: arm(0) for index in range(PROMOTED + 60, PROMOTED + 150)}
    assert words(windows)[-1][1].action == "ROLLBACK"


def test_traffic_that_vanishes_is_rolled_back() -> None:
    (_, said) = words(traffic(2, PROMOTED + 200, {}, lost=PROMOTED + 50))[-1]
    assert said.action == "ROLLBACK"
    assert said.reason.startswith("traffic fell from ")


def test_traffic_that_is_usual_at_this_time_of_the_week_is_no_harm() -> None:
    windows, low = traffic(2, PROMOTED + 200, {}, lost=PROMOTED + 50), array("d", [100.0]) * WEEK
    held = watch.start(SPEC, "canary", PROMOTED * WINDOW_US, 0)
    held = replace(held, series=(held.series[0], replace(held.series[1], usual=Usual(-1.0, week=low))))
    for index, content in windows.items():
        then = held.reference_us
        held, said = watch.step(
            SPEC, held, content, pair(index, content, arm(0) if then is None else windows[then // WINDOW_US])
        )
        assert said is None or said.judgement.action == "CONTINUE", said
    assert not held.done


def test_a_ramp_is_found_though_it_begins_within_what_is_usual() -> None:
    begun = PROMOTED + 60
    windows = traffic(11, begun + 150, {begun + i: min(0.05, 0.005 + 0.002 * i) for i in range(150)})
    held, lately = watch.start(SPEC, "canary", PROMOTED * WINDOW_US, 0), array("d", [0.005]) * HELD
    held = replace(
        held, series=(replace(held.series[0], usual=Usual(1.0, worst=lately, middle=lately)), held.series[1])
    )
    for index, content in windows.items():
        then = held.reference_us
        held, said = watch.step(
            SPEC, held, content, pair(index, content, arm(0) if then is None else windows[then // WINDOW_US])
        )
        if held.done:
            assert said is not None
            assert said.judgement.action == "ROLLBACK"
            return
    pytest.fail("it was not found")


def test_a_spike_is_said_and_does_not_act() -> None:
    spike = {PROMOTED + 60: 0.2, PROMOTED + 61: 0.2}
    said = words(traffic(3, PROMOTED + 200, spike))
    assert [judgement.action for _, judgement in said] == ["CONTINUE"] * len(said)
    assert said
    assert said[-1][1].reason.endswith("; it did not last")


def test_harm_has_to_last() -> None:
    begun = PROMOTED + 60
    windows = traffic(4, begun + 100, dict.fromkeys(range(begun, begun + 100), 0.9))
    (told, last) = words(windows)[-1]
    assert last.action == "ROLLBACK"
    assert (told + 1 - begun) * WINDOW_US >= SPEC.policy.sustained_us


def test_an_improvement_asks_nothing_and_is_told() -> None:
    better = dict.fromkeys(range(PROMOTED + 60, PROMOTED + 200), 0.0)
    ((told, said),) = words(traffic(5, PROMOTED + 200, better))
    assert (said.action, said.conclusion, said.evidence) == ("CONTINUE", "HEALTHY", ())
    assert said.reason.startswith("errors fell from 0.49")
    assert said.reason.endswith("this is for the better")
    assert told <= PROMOTED + 70


def test_a_spike_of_five_seconds_is_an_anomaly_once_it_is_over() -> None:
    spike = PROMOTED + 60
    windows = traffic(7, PROMOTED + 200, {spike: 0.05})
    ((told, said),) = words(windows)
    assert (told, said.action, said.conclusion) == (spike + 1, "CONTINUE", "INCONCLUSIVE")
    assert said.reason.startswith("errors rose from 0.")
    assert said.reason.endswith("5 min after the promotion: an anomaly of 5 s, on which nothing acts")


def test_it_ends_with_the_rollback_window() -> None:
    windows = {0: arm(1000, 5)}
    held = watch.start(SPEC, "canary", 0, 0)
    short = SPEC.model_copy(update={"rollback": SPEC.rollback.model_copy(update={"window_us": WINDOW_US})})
    held, said = watch.step(short, held, windows[0], pair(0, windows[0], arm(0)))
    assert said is None
    assert held.done
    with pytest.raises(ValueError, match="out of turn"):
        watch.step(SPEC, held, windows[0], pair(5, windows[0], arm(0)))


def test_restored_it_goes_on_as_it_would_have() -> None:
    begun = PROMOTED + 40
    windows = traffic(6, begun + 60, dict.fromkeys(range(begun, begun + 60), 0.02))
    whole = [(index, said) for index, _, said in watched(windows)]
    assert [(index, said) for index, _, said in watched(windows, cut=True)] == whole
    assert any(said is not None and said.action == "ROLLBACK" for _, said in whole)


def rolled_back(seed: int, count: int) -> bool:
    return any(said.action == "ROLLBACK" for _, said in words(traffic(100 + seed, count, {})))


def test_harmless_releases_stay() -> None:
    assert not any(rolled_back(seed, 300) for seed in range(3)), "alpha 0.01 allows one in a hundred"


@pytest.mark.full
def test_harmless_releases_are_rolled_back_no_more_often_than_alpha() -> None:
    acted = sum(rolled_back(seed, 1000) for seed in range(200))
    assert acted <= 6, "more has a chance below 1 in 200 where alpha 0.01 holds"
