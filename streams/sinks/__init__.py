"""Stores of the analysts' tables: one module per engine, found by the scheme of its address.

A module exports one object `SINK` (see `streams.sinks.base.Sink`).
"""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from urllib.parse import urlsplit

from schemas.config import Config
from schemas.errors import UserError
from streams.sinks.base import Sink, Store


@cache
def sinks() -> dict[str | None, Sink]:
    """All engines by the scheme of their addresses; the embedded one has none."""
    modules = [import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    found: list[Sink] = [module.SINK for module in modules if hasattr(module, "SINK")]
    return {scheme: sink for sink in found for scheme in sink.schemes}


def open_store(config: Config) -> Store:
    """The store that the configuration names. Raises `UserError` for an unknown scheme and
    `StoreUnavailable`."""
    scheme = urlsplit(config.clickhouse.url.get_secret_value()).scheme if config.clickhouse else None
    sink = sinks().get(scheme)
    if sink is None:
        known = ", ".join(f"{name}://" for name in sinks() if name)
        raise UserError(f"clickhouse: url: begins with {scheme}://; known: {known}")
    return sink.open(config)
