"""The kinds of SLI, one module each: a module here that exports `SLI` is found by its `type`, named nowhere
else."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Any

from analyzers.sli import Sli


@cache
def kinds() -> dict[str, Sli[Any]]:
    """All kinds of SLI by the spec's `type`, sorted."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    found = [importlib.import_module(f"{__name__}.{name}").SLI for name in names]
    return {sli.type: sli for sli in sorted(found, key=lambda sli: sli.type)}
