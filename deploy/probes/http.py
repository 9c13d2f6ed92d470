"""http: a GET is answered with a status from 200 to 399. `address`: an http or https URL. Redirections are not followed: they
could lead out of the allow-list."""

from __future__ import annotations

import ssl
from base64 import b64encode
from urllib.parse import unquote, urlsplit

from deploy.probes.base import REPLY_BYTES, Failed, ask, connected
from schemas.probes import Target

PORTS = {"http": 80, "https": 443}


async def get(target: Target, path: str | None = None, until: bytes = b"") -> tuple[int, bytes]:
    """Status and the first of what came back, at least up to `until` where that comes at all."""
    parts = urlsplit(target.place)
    if parts.scheme not in PORTS:
        raise Failed("its address is no http or https URL")
    where = path or (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = [
        f"GET {where} HTTP/1.1",
        f"Host: {parts.netloc.rpartition('@')[2]}",
        "User-Agent: davy",
        "Connection: close",
    ]
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers.append(f"Authorization: Basic {b64encode(pair.encode()).decode()}")
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    async with connected(target, PORTS[parts.scheme], tls) as stream:
        reply = await ask(stream, ("\r\n".join([*headers, "", ""])).encode("latin-1", "replace"))
        while until not in reply and len(reply) < REPLY_BYTES and (more := await stream[0].read(REPLY_BYTES)):
            reply += more
    words = reply.split(b"\r\n", 1)[0].split(b" ")
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise Failed("it does not speak HTTP")
    return int(words[1]), reply


class Http:
    """GET the URL."""

    kind = "http"

    async def check(self, target: Target) -> None:
        """See `Probe`."""
        status, _ = await get(target)
        if not 200 <= status < 400:
            raise Failed(f"it answered with status {status}")


PROBE = Http()
