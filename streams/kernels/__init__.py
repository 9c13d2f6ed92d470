"""Loops over bytes and rows that are compiled (numba): what Python and whole-column operations are too slow for.

A kernel takes arrays and numbers only, writes into arrays that its caller made, and holds no interpreter lock, so that
fetching goes on meanwhile. Compiled code is kept in the user's cache folder, under a hash of all kernels: numba itself looks
only at the file of the function that is called, not at those that it calls. Where that folder cannot be made, every
process compiles anew (a few seconds).

All integers are cast where they are mixed: an int64 with a uint64 would become a binary64.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba  # pyright: ignore[reportMissingTypeStubs]  # it has none
import numpy as np

F = TypeVar("F", bound=Callable[..., Any])
Array = Any
"""An array: what it holds stands in the docstring; the compiler infers it."""

CONSTANTS = ("analyzers/histogram.py", "schemas/delta.py")
"""Files with numbers that are compiled in."""
FNV_BASIS = np.uint64(0xCBF29CE484222325)
FNV_PRIME = np.uint64(0x100000001B3)


def _cache_folder() -> str | None:
    """A folder of ours alone, for these kernels on this interpreter."""
    content = hashlib.sha256(f"{numba.__version__} {np.__version__}".encode())
    here = Path(__file__).parent
    for path in (*sorted(here.glob("*.py")), *(here.parents[1] / name for name in CONSTANTS)):
        content.update(path.read_bytes())
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    folder = root / "davy" / f"kernels-{content.hexdigest()[:16]}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = folder.stat()
    except OSError:
        return None
    return str(folder) if place.st_uid == os.getuid() and not place.st_mode & 0o022 else None


_FOLDER = None if numba.config.CACHE_DIR else _cache_folder()  # pyright: ignore
if _FOLDER:
    numba.config.CACHE_DIR = _FOLDER  # pyright: ignore
_CACHED = bool(numba.config.CACHE_DIR)  # pyright: ignore


def compiled(function: F) -> F:
    """The function, compiled when it is first called, without counting references to arrays: where these are passed on row by
    row, counting costs as much as the rest. It must not make arrays."""
    return numba.njit(nogil=True, cache=_CACHED, _nrt=False)(function)  # pyright: ignore


def making(function: F) -> F:
    """One that makes arrays."""
    return numba.njit(nogil=True, cache=_CACHED)(function)  # pyright: ignore


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
