"""Contributions add up to the change, and name whoever made it."""

from __future__ import annotations

import random

import pytest

from analyzers.attribution import Ratio, carriers


@pytest.mark.parametrize("shared", [False, True])
def test_shares_add_up_to_the_change(shared: bool) -> None:
    rng = random.Random(1)
    for _ in range(50):
        seconds = 60.0
        before, after = (
            {value: Ratio(rng.uniform(0, 9), seconds if shared else rng.uniform(50, 90)) for value in ("a", "b", None)}
            for _ in range(2)
        )
        whole = 1 if shared else 3
        levels = [
            sum(one.part for one in each.values()) / (sum(one.whole for one in each.values()) * whole / 3)
            for each in (before, after)
        ]
        rises = levels[1] > levels[0]
        found = carriers("segment", before, after, rises, shared)
        assert found
        assert not carriers("segment", before, after, not rises, shared), "it did not go that way"
        left_out = [value for value in ("a", "b", None) if value not in {one.value for one in found}]
        total = sum(one.share for one in found)
        assert total == pytest.approx(1, abs=1e-3) if not left_out else total >= 0.89


def test_traffic_that_moves_to_who_was_worse_counts_for_both_ends_of_the_move() -> None:
    before: dict[str | None, Ratio] = {"eu": Ratio(1, 1000), "us": Ratio(10, 1000)}
    after: dict[str | None, Ratio] = {"eu": Ratio(0.5, 500), "us": Ratio(15, 1500)}
    found = carriers("segment", before, after, rises=True)
    assert [(one.value, one.before, one.after, one.share) for one in found] == [
        ("eu", 0.001, 0.001, 0.5), ("us", 0.01, 0.01, 0.5),
    ]  # fmt: skip


def test_one_value_alone_or_nothing_measured_carries_nothing() -> None:
    assert carriers("segment", {"eu": Ratio(1, 10)}, {"eu": Ratio(5, 10)}, rises=True) == ()
    assert carriers("segment", {}, {"eu": Ratio(5, 10), "us": Ratio(5, 10)}, rises=True) == ()


def test_a_new_version_carries_what_it_brought() -> None:
    found = carriers("version", {"1": Ratio(5, 1000)}, {"1": Ratio(2, 500), "2": Ratio(50, 500)}, rises=True)
    assert [(one.value, one.before) for one in found] == [("2", None)]
    assert found[0].share > 1, "and what is left of the old one was better than before"
