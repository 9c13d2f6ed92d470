"""A small part of `python -m bench.scenarios`: what must act acts, what must not does not."""

from __future__ import annotations

import pytest

from bench.scenarios.play import Play, Played
from bench.scenarios.worlds import WORLDS


def played(name: str, minutes: int, *, promoted: bool) -> Played:
    world = next(world for world in WORLDS if world.name.startswith(name))
    return Play(world, 1, promoted=promoted).run(minutes)


@pytest.mark.parametrize(("name", "most_s"), [("step", 600), ("variance", 300), ("flapping", 300)])
def test_a_bad_release_is_rolled_back_in_its_rollout(name: str, most_s: int) -> None:
    found = played(name, 0, promoted=False)
    assert found.promoted_us is None
    assert found.delay_s is not None
    assert 0 < found.delay_s < most_s


@pytest.mark.parametrize(("name", "most_s"), [("step", 180), ("flapping", 600), ("slow leak: durations", 3600)])
def test_a_promoted_release_that_gets_worse_is_rolled_back_once(name: str, most_s: int) -> None:
    found = played(name, 60, promoted=True)
    assert found.promoted_us is not None
    assert found.delay_s is not None
    assert 0 < found.delay_s < most_s
    assert ("held against what was before the promotion" in found.reason) == name.startswith("slow leak")


@pytest.mark.parametrize("name", ["nothing", "seasonal", "spike"])
def test_what_is_no_harm_is_promoted_and_stays(name: str) -> None:
    found = played(name, 30, promoted=True)
    assert found.promoted_us is not None
    assert found.rolled_back_us is None
    assert any("an anomaly of 5 s" in said for said in found.spoken) == (name == "spike")
