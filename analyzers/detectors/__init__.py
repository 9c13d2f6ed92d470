"""Detectors of anomalies and changes in a series, one module each: a module here that exports `DETECTOR` is found by its
`name`, imported only when it is asked for, and listed nowhere else. File `page_hinkley.py` has the name ``page-hinkley``."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from analyzers.detectors.base import Detector

DEFAULT = "ensemble"
"""What measures best (docs/detection.md)."""


def names() -> tuple[str, ...]:
    """All that there are, without importing any."""
    return tuple(sorted(m.name.replace("_", "-") for m in pkgutil.iter_modules(__path__) if m.name != "base"))


def detector(name: str) -> Detector[Any]:
    """That of a name; raises KeyError."""
    if name not in names():
        raise KeyError(name)
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}").DETECTOR
