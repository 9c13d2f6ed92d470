"""What a request says of itself while it is served."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

UNIT_DIGEST_BYTES = 8
CURRENT: ContextVar[dict[str, Any] | None] = ContextVar("davy_emit_request", default=None)
"""Fields of the event of the request that is served here. Threads that a framework starts with a copy of the context share
the dictionary, so what they say is seen."""


def expose(experiment_id: str, variant: str) -> None:
    """This request is served by an arm of an experiment; of several experiments the last one said counts."""
    note(experiment_id=experiment_id, variant=variant)


def note(
    *, segment: str | None = None, error: bool | None = None, measures: Mapping[str, float] | None = None, **fields: Any
) -> None:
    """More about this request; outside of one nothing happens. Measures of several calls add up to one set."""
    current = CURRENT.get()
    if current is None:
        return
    if measures is not None:
        current["measures"] = {**(current.get("measures") or {}), **measures}
    said = fields | {"segment": segment, "error": error}
    current.update({name: value for name, value in said.items() if value is not None})


def unit_of(value: str) -> str:
    """The unit as it leaves the process: equal for equal values, and not the value."""
    return hashlib.blake2b(value.encode(), digest_size=UNIT_DIGEST_BYTES).hexdigest()
