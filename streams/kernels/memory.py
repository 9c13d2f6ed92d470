"""Bytes eight at a time: what lies in an array at any place, and copies from wherever it lies."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types  # pyright: ignore
from numba.core import cgutils  # pyright: ignore
from numba.extending import intrinsic  # pyright: ignore
from numba.np.arrayobj import make_array  # pyright: ignore

from streams.kernels import Array, compiled

HIGH_BITS = np.uint64(0x8080808080808080)
"""Of eight bytes; ASCII has none of them."""


@intrinsic
def eight(context: Any, data: Any, place: Any) -> Any:  # pyright: ignore
    """The eight bytes of `data`, uint8, at `place`, little-endian; the caller knows that they are there."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = make_array(signature.args[0])(context, builder, arguments[0])  # pyright: ignore
        word = context.get_value_type(types.uint64).as_pointer()  # pyright: ignore
        return builder.load(builder.bitcast(builder.gep(array.data, [arguments[1]]), word), align=1)  # pyright: ignore

    return types.uint64(data, types.int64), generate  # pyright: ignore


@intrinsic
def copy(context: Any, address: Any, size: Any, data: Any, place: Any) -> Any:  # pyright: ignore
    """Copy `size` bytes from an address to `data`, uint8, at `place`; the caller knows that there is room."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, length, target, begin = arguments
        array = make_array(signature.args[2])(context, builder, target)  # pyright: ignore
        source = builder.inttoptr(source, cgutils.voidptr_t)  # pyright: ignore
        cgutils.raw_memcpy(builder, builder.gep(array.data, [begin]), source, length, 1)  # pyright: ignore
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, data, types.int64), generate  # pyright: ignore


@compiled
def few(data: Array, place: int, length: int) -> np.uint64:
    """The `length` bytes, 1 to 8, at `place`, little-endian, filled up with zeros."""
    if place + 8 <= len(data):
        return eight(data, place) & (~np.uint64(0) >> np.uint64(64 - 8 * length))  # pyright: ignore
    word = np.uint64(0)
    for i in range(length):
        word |= np.uint64(data[place + i]) << np.uint64(8 * i)
    return word


@compiled
def same(one: Array, at: int, other: Array, place: int, length: int) -> bool:
    """Whether `length` bytes of two arrays are equal."""
    done = 0
    while done + 8 <= length:
        if eight(one, at + done) != eight(other, place + done):  # pyright: ignore
            return False
        done += 8
    return done == length or few(one, at + done, length - done) == few(other, place + done, length - done)
