"""Unit ids to buckets by FNV-1a of the bytes, 64 bits: fixed for good, and independent of what assigns arms.

>>> [hex(h) for h in unit_hash(pa.array(["", "a", "foobar"])).tolist()]
['0xcbf29ce484222325', '0xaf63dc4c8601ec8c', '0x85944171f73967e8']
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.delta import UNIT_BUCKETS

OFFSET_BASIS = np.uint64(0xCBF29CE484222325)
PRIME = np.uint64(0x100000001B3)

Hashes = npt.NDArray[np.uint64]


def string_buffers(array: pa.StringArray) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Offsets int32 (n + 1,) and bytes uint8 of an Arrow string array."""
    buffers = cast("list[Any]", array.buffers())
    offsets = np.frombuffer(buffers[1], np.int32, len(array) + 1, array.offset * 4)
    data = np.frombuffer(buffers[2], np.uint8) if buffers[2] is not None else np.empty(0, np.uint8)
    return offsets, data


def unit_hash(array: pa.StringArray) -> Hashes:
    """uint64 (n,) of a string array (n,); what null hashes to has no meaning."""
    n = len(array)
    hashes = np.full(n, OFFSET_BASIS)
    if not n:
        return hashes
    offsets, data = string_buffers(array)
    starts, lengths = offsets[:-1], np.diff(offsets)
    shortest = int(lengths.min())
    for place in range(shortest):
        hashes = (hashes ^ data[starts + place]) * PRIME
    rows = np.flatnonzero(lengths > shortest)
    place = shortest
    while len(rows):
        hashes[rows] = (hashes[rows] ^ data[starts[rows] + place]) * PRIME
        place += 1
        rows = rows[lengths[rows] > place]
    return hashes


def bucket(hashes: Hashes) -> npt.NDArray[np.int64]:
    """Unit bucket, int64 (n,) below `UNIT_BUCKETS`."""
    return (hashes % np.uint64(UNIT_BUCKETS)).astype(np.int64)
