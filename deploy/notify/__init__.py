"""Who is told what was done: one module per kind of receiver, found by its name.

A module exports one object `ADAPTER` (see `deploy.notify.base.Adapter`).
"""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module

from deploy.notify.base import Adapter, Notifier
from schemas.config import Config
from schemas.errors import UserError
from schemas.model import made_of


@cache
def adapters() -> dict[str, Adapter]:
    """All kinds by the name that `type` calls them."""
    modules = [import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
    found: list[Adapter] = [module.ADAPTER for module in modules if hasattr(module, "ADAPTER")]
    return {adapter.name: adapter for adapter in found}


def notifiers(config: Config) -> list[Notifier]:
    """All that `notify:` names. Raises `UserError` where an entry is wrong."""
    made: list[Notifier] = []
    for number, entry in enumerate(config.notify):
        kind, options, wrong = made_of({name: a.options for name, a in adapters().items()}, entry)
        if wrong is not None or options is None:
            raise UserError(f"davy.yaml: notify[{number}]{wrong}")
        made.append(adapters()[kind].make(options))
    return made
