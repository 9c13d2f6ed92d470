"""Where incidents go, one module each: a module here that exports `RECEIVER` is found by its `type`, named nowhere else."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from deploy.incidents.base import Writer


@cache
def types() -> dict[str, Writer]:
    """All types by name, sorted."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "base")
    found = [importlib.import_module(f"{__name__}.{name}").RECEIVER for name in names]
    return {writer.type: writer for writer in sorted(found, key=lambda writer: writer.type)}
