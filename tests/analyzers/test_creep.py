"""What creeps is found, held against the time before the promotion; what stays, or goes with the load, is no harm."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from analyzers import creep, snapshot, watch
from analyzers.arm import ArmWindow
from analyzers.judgement import Judgement
from analyzers.watch import Watch
from tests.analyzers.builders import TRAFFIC, WINDOW_US, arm, pair, spec

SPEC = spec("{name: errors, type: error_ratio, max_increase: 0.1pp}", TRAFFIC)
MINUTE = 12
"""Windows."""
Day = Callable[[float], tuple[float, float]]
"""Minutes since the promotion to requests of a window and their share of errors."""


def leak(minutes: float) -> tuple[float, float]:
    return 5000, 0.005 * (1 + 0.01 * max(minutes, 0))


def watched(
    day: Day, minutes: int, seed: int = 1, *, cut: bool = False, creeping: bool = True, share: float = 0.5
) -> tuple[Watch, list[tuple[float, Judgement]]]:
    """The watch at the end, and what it said at which minute; control has `share` of the traffic until the promotion."""
    rng, held = np.random.default_rng(seed), watch.start(SPEC, "canary", 0, -creep.BEFORE * WINDOW_US)
    held = held if creeping else replace(held, creep=None)
    windows, said = dict[int, ArmWindow](), list[tuple[float, Judgement]]()
    for index in range(-creep.BEFORE, minutes * MINUTE):
        rows, errors = day(index / MINUTE)
        n = int(rng.poisson(rows))
        whole = windows[index] = arm(n, int(rng.binomial(n, errors)))
        then, weight = held.reference_us, 1.0
        control = arm(0) if then is None else windows[then // WINDOW_US]
        if index < 0 and then is not None:
            weight, part = share, int(n * share)
            control = arm(part, int(rng.binomial(part, errors)))
        held, told = watch.step(SPEC, held, whole, pair(index, whole, control, 1 / (1 + weight)))
        if cut and index % 5 == 0:
            held = snapshot.load(Watch, json.loads(json.dumps(snapshot.dump(held))))
        if told is not None:
            said.append((index / MINUTE, told.judgement))
        if held.done:
            break
    return held, said


def rolled_back(said: list[tuple[float, Judgement]]) -> bool:
    return any(judgement.action == "ROLLBACK" for _, judgement in said)


def test_a_leak_of_a_hundredth_a_minute_is_rolled_back() -> None:
    _, said = watched(leak, 120)
    minute, last = said[-1]
    assert (last.action, last.conclusion, last.weight) == ("ROLLBACK", "HARM", 0.0)
    assert 20 < minute < 75, "0.1 pp of 0.5 % are over after 20 minutes"
    assert last.reason.startswith("held against what was before the promotion ")
    assert "errors rose from 0.5" in last.reason
    assert "that alpha 0.0025 asks for" in last.reason, "half of alpha, and of that half in the first round"
    assert [one.sli for one in last.evidence] == ["errors"], "traffic goes with the day"


def test_without_it_nothing_is_found() -> None:
    assert not rolled_back(watched(leak, 120, creeping=False)[1])


def test_what_stays_is_no_harm() -> None:
    for seed in range(3):
        assert not rolled_back(watched(lambda _: (5000, 0.005), 240, seed)[1])


def test_what_is_allowed_is_no_harm() -> None:
    assert not rolled_back(watched(lambda minute: (5000, 0.005 if minute < 0 else 0.0058), 240)[1])


def test_what_goes_with_the_load_is_no_harm() -> None:
    """Errors from 0.25 to 1.1 % with the load of a day."""

    def day(minute: float) -> tuple[float, float]:
        load = 1 + 0.5 * math.sin(2 * math.pi * (minute - 240) / 1440)
        return 5000 * load, 0.005 * load * load

    assert not rolled_back(watched(day, 360)[1])


def test_restored_it_goes_on_as_it_would_have() -> None:
    assert watched(leak, 60, cut=True)[1] == watched(leak, 60)[1]


def test_what_is_kept_has_a_limit() -> None:
    held, _ = watched(lambda _: (50, 0.005), 200)
    assert held.creep is not None
    assert len(held.creep.pieces) == creep.BEFORE // creep.PIECE
    assert held.creep.round == 4, "of an hour each"
    size = len(json.dumps(snapshot.dump(held.creep)))
    assert size < 100_000


def test_too_little_before_the_promotion_is_nothing_to_hold_it_against() -> None:
    held = watch.start(SPEC, "canary", 0, -20 * WINDOW_US)
    for index in range(-20, 100):
        content = arm(1000, 5)
        held, _ = watch.step(SPEC, held, content, pair(index, content, content))
    assert held.creep is not None
    assert held.creep.trial is None
