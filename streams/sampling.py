"""Which records of a topic are kept in a sample: decided by where each lies, and by nothing else.

Whoever reads the log, once or again, in whatever batches, keeps the same ones; and a larger share keeps all that a smaller one
does. The number of a record is mixed as SplitMix64 does it (Steele, Lea and Flood, "Fast splittable pseudorandom number
generators", OOPSLA 2014, figure 13).

>>> sampled("davy.events", np.array([0, 0]), np.array([1, 5]), 1.0).tolist()
[True, True]
"""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FRACTION_BITS = 53


def sampled(topic: str, partition: Ints, offset: Ints, share: float) -> npt.NDArray[np.bool_]:
    """Whether each record is kept, bool (n,), for int64 (n,) places in a topic and a share from 0 to 1."""
    seed = np.uint64(zlib.crc32(topic.encode())) << np.uint64(32) ^ partition.astype(np.uint64)
    number = _mixed(_mixed(seed) + (offset.astype(np.uint64) + np.uint64(1)) * _GAMMA)
    return (number >> np.uint64(64 - _FRACTION_BITS)) < np.uint64(share * 2**_FRACTION_BITS)


def _mixed(number: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return number ^ (number >> np.uint64(31))
