"""JSON over HTTP for notifiers: one call, its answer, and `NotTold` where there is none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from deploy.exchange import NoAnswer, exchange
from deploy.notify.base import NotTold

TIMEOUT_S = 10.0
ANSWER_BYTES_MAX = 1_000_000


def call(method: str, url: str, headers: Mapping[str, str], body: Any = None) -> Any:
    """The answer's JSON (None where it has none). Raises `NotTold`."""
    data = None if body is None else json.dumps(body, allow_nan=False).encode()
    try:
        text = exchange(method, url, headers, data, timeout_s=TIMEOUT_S, bytes_max=ANSWER_BYTES_MAX)
        return json.loads(text) if text[:1] in (b"{", b"[") else None
    except NoAnswer as error:
        raise NotTold(f"{url} {error}") from error
    except ValueError as error:
        raise NotTold(f"{url} answered no JSON: {error}") from error
