"""redis: PING is answered with PONG. `address`: HOST:PORT, or redis://user:password@HOST:PORT (rediss: with TLS)."""

from __future__ import annotations

import ssl
from urllib.parse import unquote, urlsplit

from deploy.probes.base import Failed, Stream, ask, connected
from schemas.probes import Target

PORT = 6379


def command(*words: str) -> bytes:
    """As Redis reads it (RESP 2).

    >>> command("PING")
    b'*1\\r\\n$4\\r\\nPING\\r\\n'
    """
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


class Redis:
    """AUTH where the address has a password, then PING."""

    kind = "redis"

    async def check(self, target: Target) -> None:
        """See `Probe`."""
        parts = urlsplit(target.place if "://" in target.place else f"//{target.place}")
        tls = ssl.create_default_context() if parts.scheme == "rediss" else None
        async with connected(target, PORT, tls) as stream:
            if parts.password is not None:
                user = [unquote(parts.username)] if parts.username else []
                await self._say(stream, b"+OK", "AUTH", *user, unquote(parts.password))
            await self._say(stream, b"+PONG", "PING")

    async def _say(self, stream: Stream, wanted: bytes, *words: str) -> None:
        reply = await ask(stream, command(*words))
        if not reply.startswith(wanted):
            told = reply.split(b"\r\n", 1)[0][:80].decode("utf-8", "replace")
            raise Failed(f"it answered {words[0]} with {told!r}")


PROBE = Redis()
