"""The kinds of health probe, one module each: a module here that exports `PROBE` is found by its `kind`."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from deploy.probes.base import Probe


@cache
def kinds() -> dict[str, Probe]:
    """All kinds by name, sorted."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "base")
    found = [importlib.import_module(f"{__name__}.{name}").PROBE for name in names]
    return {probe.kind: probe for probe in sorted(found, key=lambda probe: probe.kind)}
