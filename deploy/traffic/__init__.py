"""Where traffic is split, and who is told: one module per kind of target, found by its name.

A module exports one object `ADAPTER` (see `deploy.traffic.base.Adapter`). The files of the traffic splitter are always
written, first; then come the targets of `traffic:` in davy.yaml, in their order.
"""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module

from pydantic import ValidationError

from deploy.traffic.base import Adapter, Target
from schemas.config import Config
from schemas.errors import UserError
from schemas.model import suggestion

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
        place, options = f"davy.yaml: traffic[{number}]", dict(entry)
        kind = options.pop("type", None)
        if kind not in known:
            raise UserError(f"{place}: type {kind!r} is unknown: {suggestion(str(kind), known)}")
        try:
            made.append(known[str(kind)].make(known[str(kind)].options.model_validate(options), config))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise UserError(f"{place} ({kind}): {where}: {first['msg']}") from error
    return made
