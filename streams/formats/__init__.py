"""What record values are made of: one module per wire format, found by its name.

A module exports one object `FORMAT` (see `streams.formats.base.Format`). It makes a decoder per configured topic; what the
decoder gives depends on the record's bytes and headers and on `identity` alone, never on its neighbours, on time, or on how
the log was cut into batches. `identity` is part of the layout's digest.
"""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from typing import Any

from schemas.config import Config, Input
from streams.formats.base import Decoder, Format


@cache
def formats() -> dict[str, Format]:
    """All formats by the name that `inputs` in davy.yaml calls them."""
    modules = [import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__) if m.name != "base"]
    return {module.FORMAT.name: module.FORMAT for module in modules}


def decoders(config: Config) -> dict[str, Decoder]:
    """A decoder per source topic; raises `UserError` where one cannot be made as configured."""
    return {topic: formats()[source.format].decoder(config, topic, source) for topic, source in config.sources.items()}


def identity(config: Config, topic: str, source: Input) -> dict[str, Any]:
    """What rows of that topic depend on besides the record, as JSON values."""
    return {"format": source.format, "record_bytes": config.limits.record_bytes} | formats()[source.format].identity(
        config, topic, source
    )
