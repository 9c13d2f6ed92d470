"""What every kind of probe is asked, and what they share: one exchange of bytes over a socket."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Protocol

from schemas.probes import Target

REPLY_BYTES = 65_536
"""More of a reply is not read."""


class Failed(Exception):
    """The dependency is not well: one clause that says how."""


class Probe(Protocol):
    """One kind of probe; `default_port` 0: an address must name one."""

    @property
    def kind(self) -> str:
        """Its name in the configuration."""
        ...

    async def check(self, target: Target) -> None:
        """Returns where the target is well; raises `Failed`, OSError or TimeoutError where it is not.

        Its caller cancels it at the target's timeout.
        """
        ...


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(target: Target, default_port: int = 0, tls: ssl.SSLContext | None = None) -> AsyncGenerator[Stream]:
    """A connection to the target's address, closed afterwards."""
    host, port = target.host_and_port(default_port)
    if not port:
        raise Failed("its address names no port")
    reader, writer = await asyncio.open_connection(
        host, port, ssl=tls, server_hostname=host if tls else None, limit=REPLY_BYTES
    )
    try:
        yield reader, writer
    finally:
        writer.close()


async def ask(stream: Stream, request: bytes) -> bytes:
    """Send, and return the first of what comes back."""
    reader, writer = stream
    writer.write(request)
    await writer.drain()
    reply = await reader.read(REPLY_BYTES)
    if not reply:
        raise Failed("it closed the connection without an answer")
    return reply
