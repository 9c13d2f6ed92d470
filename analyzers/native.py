"""Compiled loops that start at once: machine code that numba made earlier comes from the cache folder without numba.

Importing numba takes a second, the loader that it is built on a tenth of that, and a command that reads a short file must
answer within one. A loop is a plain function over arrays of binary64 and a number of rows. It consists of indexing,
arithmetic, comparisons and square roots, so that its machine code calls nothing outside of itself and gives bit for bit what
Python gives for the same function. Where there is no machine code yet, few rows are read by Python, and more of them wait for
the compiler (some seconds, once).
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
from array import array
from collections.abc import Callable
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from types import FunctionType
from typing import Any

SHORT_ROWS = 5000
"""So many are read by Python where nothing is compiled yet: that takes less time than compiling."""
FEW_ROWS = 300
"""The first rows of a process are read by Python, compiled or not: that takes less time than to load machine code."""
Loop = Callable[..., None]


def cache_folder(name: str) -> Path | None:
    """A folder of ours alone in the user's cache, made where it is missing; None where that cannot be."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "davy" / name
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = folder.stat()
    except OSError:
        return None
    return folder if place.st_uid == os.getuid() and not place.st_mode & 0o022 else None


class Native:
    """The loop `function(array, ..., rows)`, which works on its arrays in place and returns nothing."""

    def __init__(self, function: Loop, arrays: int) -> None:
        self.python = function
        self._arrays = arrays
        self._rows = 0

    def __call__(self, *arrays: array[float], rows: int) -> None:
        """Run it, by the fastest means that is there."""
        self._rows += rows
        loaded = "_native" in self.__dict__
        if not loaded and (self._rows <= FEW_ROWS or (rows <= SHORT_ROWS and not self._is_compiled)):
            self.python(*arrays, rows)
        else:
            self._native(*(each.buffer_info()[0] for each in arrays), rows)

    def warm(self) -> None:
        """Have it compiled, now."""
        assert self._native

    @property
    def _is_compiled(self) -> bool:
        return self._file is not None and self._file.exists()

    @cached_property
    def _native(self) -> Callable[..., None]:
        """The machine code as a function of addresses; its engine lives as long as this."""
        import llvmlite.binding as llvm  # pyright: ignore[reportMissingTypeStubs]  # it has none

        binding: Any = llvm
        if self._file is not None and self._file.exists():
            name, _, code = self._file.read_bytes().partition(b"\n")
        else:
            name, code = _compile(self.python, self._arrays)
            self._keep(name + b"\n" + code)
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        machine = binding.Target.from_default_triple().create_target_machine()
        self._engine = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
        self._engine.add_object_file(binding.ObjectFileRef.from_data(code))
        self._engine.finalize_object()
        kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * self._arrays, ctypes.c_int64)
        return kind(self._engine.get_function_address(name.decode()))

    @cached_property
    def _file(self) -> Path | None:
        """Where its machine code is kept: named after all that it depends on."""
        import llvmlite.binding as llvm  # pyright: ignore[reportMissingTypeStubs]

        host: Any = llvm
        depends = (
            f"{version('numba')} {sys.version} {host.get_host_cpu_name()} {host.get_host_cpu_features().flatten()}"
        )
        content = hashlib.sha256(depends.encode())
        for name in sorted({__name__, *_modules(self.python)}):
            content.update(Path(str(sys.modules[name].__file__)).read_bytes())
        folder = cache_folder("native")
        return folder and folder / f"{self.python.__name__}-{content.hexdigest()[:24]}.o"

    def _keep(self, content: bytes) -> None:
        """Into the cache by rename: another process may do the same now."""
        if self._file is not None:
            draft = self._file.with_suffix(f".{os.getpid()}")
            try:
                draft.write_bytes(content)
                draft.replace(self._file)
            except OSError:  # a full disk costs the next start its time, no more
                draft.unlink(missing_ok=True)


def _called(function: Loop) -> dict[str, FunctionType]:
    """Functions of ours that it calls, by the name that it calls them by."""
    code: Any = function.__code__
    found = {name: function.__globals__.get(name) for name in code.co_names}
    return {name: each for name, each in found.items() if isinstance(each, FunctionType)}


def _modules(function: Loop) -> set[str]:
    inner: set[str] = set()
    return inner.union({function.__module__}, *(_modules(each) for each in _called(function).values()))


def _compile(function: Loop, arrays: int) -> tuple[bytes, bytes]:
    """The name of its machine code, and the object file."""
    import numba as compiler  # pyright: ignore[reportMissingTypeStubs]

    numba: Any = compiler

    def whole(each: Loop) -> Loop:
        """The function with all that it calls compiled."""
        inner = {name: numba.njit(error_model="numpy")(whole(called)) for name, called in _called(each).items()}
        return FunctionType(each.__code__, {**each.__globals__, **inner}, each.__name__)

    kinds = [numba.types.CPointer(numba.types.float64)] * arrays
    made = numba.cfunc(numba.types.void(*kinds, numba.types.int64), nopython=True, error_model="numpy")(whole(function))
    return made.native_name.encode(), made._library._get_compiled_object()
