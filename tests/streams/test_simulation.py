"""Thousands of seeded schedules of faults against a recount, and mutants of the protocol that must be caught by them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.streams.simulation import RATES, World
from tests.streams.simulation_mutants import MUTANTS, Mutant, a_store_that_keeps_the_last_arrival

CHUNKS, SEEDS = 4, 200
CHUNKS_FULL, SEEDS_FULL = 100, 10_000
MUTANT_SEEDS = 400
"""A mutant must show within so many schedules."""


def survive(seeds: range) -> tuple[int, Counter[str]]:
    """Run the schedules; verdicts that were recounted, and faults survived."""
    verdicts, faults = 0, Counter[str]()
    for seed in seeds:
        world = World(seed)
        try:
            world.run()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        verdicts += world.verdicts
        faults.update(world.broker.survived)
    return verdicts, faults


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_verdict_and_window_equals_a_recount(chunk: int) -> None:
    size = SEEDS // CHUNKS
    verdicts, faults = survive(range(chunk * size, (chunk + 1) * size))
    assert verdicts > 10 * size, "hardly anything was judged"
    assert set(faults) == set(RATES), "a fault never happened"


@pytest.mark.full
@pytest.mark.parametrize("chunk", range(CHUNKS_FULL))
def test_every_verdict_and_window_equals_a_recount_at_length(
    chunk: int, record_property: Callable[[str, object], None]
) -> None:
    size = SEEDS_FULL // CHUNKS_FULL
    verdicts, faults = survive(range(SEEDS + chunk * size, SEEDS + (chunk + 1) * size))
    record_property("verdicts", verdicts)
    record_property("faults", sum(faults.values()))
    assert verdicts > 10 * size


def test_a_schedule_is_repeatable() -> None:
    """A seed that fails can be looked at again."""
    histories: list[list[object]] = []
    for _ in range(2):
        world = World(7)
        world.run()
        histories.append(
            [(place, offset, entry.value) for place, offset, entry in world.broker.records("davy.verdicts")]
        )
    assert histories[0] == histories[1]


def _mutant(mutant: Mutant) -> Any:
    """The one that takes a minute to show only where there is time."""
    marks = (pytest.mark.full,) if mutant is a_store_that_keeps_the_last_arrival else ()
    return pytest.param(mutant, marks=marks, id=mutant.__name__)


@pytest.mark.parametrize("mutant", [_mutant(each) for each in MUTANTS])
def test_a_mutant_is_caught(mutant: Mutant) -> None:
    """By a wrong count, a missing one, or code that can't go on, in a schedule that the unbroken code survives."""
    rates = {**RATES, "delta lost": 0.0, **MUTANTS[mutant]}
    for seed in range(MUTANT_SEEDS):
        with mutant():
            caught = _goes_wrong(World(seed, rates))
        if caught:
            World(seed, rates).run()
            return
    raise AssertionError(f"{mutant.__name__} was not noticed in {MUTANT_SEEDS} schedules")


def _goes_wrong(world: World) -> bool:
    try:
        world.run()
    except (TypeError, AttributeError, NameError):
        raise  # the mutant no longer fits the code
    except Exception:
        return True
    return False
