"""Loops over arrays that are compiled (numba): what Python and whole-column operations are too slow for.

Importing this imports numba, which takes a second: what a quick command needs imports its kernels where it calls them.
Compiled code is kept in the user's cache folder, under a hash of all kernels: numba itself looks only at the file of the
function that is called, not at those that it calls. Where that folder cannot be made, every process compiles anew (a few
seconds).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba  # pyright: ignore[reportMissingTypeStubs]  # it has none
import numpy as np

from analyzers.native import cache_folder

F = TypeVar("F", bound=Callable[..., Any])
Array = Any
"""An array: what it holds stands in the docstring; the compiler infers it."""

COMPILED_IN = ("analyzers/kernels/*.py", "streams/kernels/*.py", "analyzers/histogram.py", "schemas/delta.py")
"""Files of kernels, and with numbers that are compiled in."""


def _version() -> str:
    """What compiled code depends on."""
    content = hashlib.sha256(f"{numba.__version__} {np.__version__}".encode())
    root = Path(__file__).parents[1]
    for path in (path for pattern in COMPILED_IN for path in sorted(root.glob(pattern))):
        content.update(path.read_bytes())
    return content.hexdigest()[:16]


_FOLDER = None if numba.config.CACHE_DIR else cache_folder(f"kernels-{_version()}")  # pyright: ignore
if _FOLDER:
    numba.config.CACHE_DIR = str(_FOLDER)  # pyright: ignore
_CACHED = bool(numba.config.CACHE_DIR)  # pyright: ignore


def compiled(function: F) -> F:
    """The function, compiled when it is first called, without counting references to arrays: where these are passed on row by
    row, counting costs as much as the rest. It must not make arrays."""
    return numba.njit(nogil=True, cache=_CACHED, _nrt=False)(function)  # pyright: ignore


def making(function: F) -> F:
    """One that makes arrays."""
    return numba.njit(nogil=True, cache=_CACHED)(function)  # pyright: ignore
