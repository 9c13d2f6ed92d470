"""Where traffic is split, and who is told: one module per kind of target, found by its name.

A module exports one object `ADAPTER` (see `deploy.traffic.base.Adapter`). The files of the traffic splitter are always
written, first; then come the targets of `traffic:` in davy.yaml, in their order.
"""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module

from deploy.traffic.base import Adapter, Target
from schemas.config import Config
from schemas.errors import UserError
from schemas.model import made_of

FILES = "files"


@cache
def adapters() -> dict[str, Adapter]:
    """All kinds by the name that `type` calls them."""
    modules = [import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__) if m.name != "base"]
    return {module.ADAPTER.name: module.ADAPTER for module in modules}


def targets(config: Config) -> list[Target]:
    """All targets, in the order in which they are told. Raises `UserError` where an entry of `traffic:` is wrong."""
    known = adapters()
    made = [known[FILES].make(known[FILES].options(), config)]
    for number, entry in enumerate(config.targets):
        kind, options, wrong = made_of({name: adapter.options for name, adapter in known.items()}, entry)
        if wrong is not None or options is None:
            raise UserError(f"davy.yaml: traffic[{number}]{wrong}")
        made.append(known[kind].make(options, config))
    return made
