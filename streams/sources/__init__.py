"""Recorded events as columns: one module per file format, found by its extension.

A module exports one object `SOURCE` (see `streams.sources.base.Source`). Rows that cannot be used are told
with their place and left out; the rest goes on.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pathlib import Path

import pyarrow as pa

from schemas.errors import UserError
from streams.sources.base import Reject, Source


@cache
def sources() -> dict[str, Source]:
    """All formats by extension."""
    modules = [import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__) if m.name != "base"]
    return {module.SOURCE.extension: module.SOURCE for module in modules}


def read(path: Path) -> tuple[pa.Table, list[Reject]]:
    """The file's events in RequestEvent columns, in the file's order, and the rows that could not be used.

    Raises `UserError` for a file that is not there, has an unknown extension or is not of its format at all.
    """
    source = _of(path)
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    return source.read(path)


def write(path: Path, batches: Iterable[pa.RecordBatch]) -> None:
    """A file of RequestEvents in the format of its extension; raises `UserError` for an unknown one."""
    source = _of(path)
    try:
        source.write(path, batches)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error


def _of(path: Path) -> Source:
    source = sources().get(path.suffix.lower())
    if source is None:
        known = ", ".join(sorted(sources()))
        raise UserError(f"{path}: events are kept in {known} files; its name must end in one of these")
    return source
