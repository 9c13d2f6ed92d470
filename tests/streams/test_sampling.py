from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from streams.sampling import sampled

MILLION = 1_000_000


@pytest.mark.parametrize("share", [0.001, 0.01, 0.25, 0.9])
@pytest.mark.parametrize("partition", [0, 7])
def test_a_sample_has_its_share_and_no_pattern(share: float, partition: int) -> None:
    """Of all records, of every second one, and of those beside one that is kept: within five standard errors."""
    kept = sampled("davy.events", np.full(MILLION, partition), np.arange(MILLION), share)
    for some in (kept, kept[::2], kept[:: 1 << 10], kept[1:][kept[:-1]]):
        error = math.sqrt(share * (1 - share) / len(some))
        assert abs(some.mean() - share) < 5 * error


def test_a_larger_share_keeps_what_a_smaller_one_does() -> None:
    place = np.zeros(MILLION, np.int64), np.arange(MILLION)
    shares = (0.0, 0.01, 0.1, 1.0)
    kept = [sampled("t", *place, share) for share in shares]
    assert [int(some.sum()) for some in (kept[0], kept[-1])] == [0, MILLION]
    for fewer, more in pairwise(kept):
        assert not (fewer & ~more).any()


def test_topics_and_partitions_are_sampled_apart() -> None:
    offset = np.arange(MILLION)
    one = sampled("a", np.zeros(MILLION, np.int64), offset, 0.1)
    for other in (
        sampled("b", np.zeros(MILLION, np.int64), offset, 0.1),
        sampled("a", np.ones(MILLION, np.int64), offset, 0.1),
    ):
        assert abs((one & other).mean() - 0.01) < 0.001


def test_batches_do_not_matter() -> None:
    partition, offset = np.arange(1000) % 3, np.arange(1000) + 2**40
    whole = sampled("t", partition, offset, 0.3)
    parts = [sampled("t", partition[i : i + 7], offset[i : i + 7], 0.3) for i in range(0, 1000, 7)]
    assert (np.concatenate(parts) == whole).all()
