"""Everything that reads bytes of others answers or refuses: a little by chance here, more by coverage with --full."""

from __future__ import annotations

import random

import pytest

from bench.fuzz.__main__ import main
from bench.fuzz.targets import TARGETS, Target

CHANGED = 60


def changed(seed: bytes, chance: random.Random) -> bytes:
    """With some bytes replaced, left out, doubled, or cut off."""
    data = bytearray(seed)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data)) if data else 0
        match chance.randrange(4):
            case 0 if data:
                data[at] = chance.randrange(256)
            case 1:
                del data[at : at + chance.randint(1, 8)]
            case 2:
                data[at:at] = data[at : at + chance.randint(1, 64)] * chance.randint(1, 4)
            case _:
                del data[at + 1 :]
    return bytes(data)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_bytes_that_nobody_would_send_are_answered_or_refused(target: Target) -> None:
    run, seeds, chance = target.made(), target.seeds(), random.Random(target.name)
    refused = 0
    for i in range(CHANGED):
        try:
            run(changed(seeds[i % len(seeds)], chance))
        except target.promised:
            refused += 1
    assert not target.promised or refused


@pytest.mark.full
@pytest.mark.timeout(7200)
def test_ten_million_executions_find_nothing() -> None:
    assert main(10_000_000, write=False) == 0
