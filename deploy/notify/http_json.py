"""JSON over HTTP for notifiers: one call, its answer, and `NotTold` where there is none."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from deploy.notify.base import NotTold

TIMEOUT_S = 10.0
ANSWER_BYTES_MAX = 1_000_000
SAID_MAX = 200


def call(method: str, url: str, headers: Mapping[str, str], body: Any = None) -> Any:
    """The answer's JSON (None where it has none). Raises `NotTold`."""
    data = None if body is None else json.dumps(body, allow_nan=False).encode()
    request = urllib.request.Request(url, data, dict(headers), method=method)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            text = answer.read(ANSWER_BYTES_MAX)
        return json.loads(text) if text[:1] in (b"{", b"[") else None
    except urllib.error.HTTPError as error:
        said = error.read(SAID_MAX).decode("utf-8", "replace").strip()
        raise NotTold(f"{url} answered {error.code}" + (f": {said}" if said else "")) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise NotTold(f"{url} cannot be reached: {getattr(error, 'reason', error)}") from error
