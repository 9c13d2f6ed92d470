"""Loops over bytes and rows that are compiled (numba): what Python and whole-column operations are too slow for.

A kernel takes arrays and numbers only, writes into arrays that its caller made, and holds no interpreter lock, so that
fetching goes on meanwhile (`analyzers.compiled`).

All integers are cast where they are mixed: an int64 with a uint64 would become a binary64.
"""

from __future__ import annotations

import numpy as np

from analyzers.compiled import Array, compiled, making

__all__ = ["Array", "compiled", "making"]

FNV_BASIS = np.uint64(0xCBF29CE484222325)
FNV_PRIME = np.uint64(0x100000001B3)


@compiled
def unsigned_varint(value: np.uint64, out: Array, place: int) -> int:
    """Write LEB128; the next place."""
    while value >= np.uint64(128):
        out[place] = np.uint8(value & np.uint64(127)) | np.uint8(128)
        value >>= np.uint64(7)
        place += 1
    out[place] = np.uint8(value)
    return place + 1


@compiled
def unsigned_varint_bytes(value: np.uint64) -> int:
    """How many bytes `unsigned_varint` writes."""
    size = 1
    while value >= np.uint64(128):
        value >>= np.uint64(7)
        size += 1
    return size


@compiled
def varint(value: int, out: Array, place: int) -> int:
    """Write an Avro long: zigzag, then LEB128; the next place."""
    return unsigned_varint(np.uint64((np.int64(value) << np.int64(1)) ^ (np.int64(value) >> np.int64(63))), out, place)


@compiled
def fnv1a(data: Array, start: int, length: int) -> np.uint64:
    """FNV-1a, 64 bits."""
    value = FNV_BASIS
    for i in range(start, start + length):
        value = (value ^ np.uint64(data[i])) * FNV_PRIME
    return value
