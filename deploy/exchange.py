"""One exchange over HTTP: what was answered, or a clause that says why nothing was.

Redirections are never followed. They could lead elsewhere, and the token with them, and they turn a POST into a GET, whose
answer would then be taken for the order's.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

SAID_BYTES = 300
"""Of what a refusal says."""


class NoAnswer(Exception):
    """`str()` is a clause to put behind who was asked; `status` is that of a refusal, None where nobody answered."""

    def __init__(self, clause: str, status: int | None = None) -> None:
        super().__init__(clause)
        self.status = status


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Its status is the answer."""


def exchange(
    method: str, url: str, headers: Mapping[str, str], body: bytes | None = None, *,
    timeout_s: float, bytes_max: int = 65_536, tls: ssl.SSLContext | None = None,
) -> bytes:  # fmt: skip
    """The first bytes of a 2xx answer's body; raises `NoAnswer`."""
    opener = build_opener(_NoRedirect, *([HTTPSHandler(context=tls)] if tls is not None else []))
    try:
        with opener.open(Request(url, body, dict(headers), method=method), timeout=timeout_s) as answer:
            return answer.read(bytes_max)
    except HTTPError as error:
        with error:
            said = error.read(SAID_BYTES).decode("utf-8", "replace").strip()
        raise NoAnswer(f"answered {error.code}" + (f": {said}" if said else ""), error.code) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        why = getattr(error, "reason", None) or error or type(error).__name__
        raise NoAnswer(f"cannot be reached: {why}") from error
