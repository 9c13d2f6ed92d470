"""postgresql: the server accepts connections. `address`: HOST:PORT, or postgresql://user@HOST:PORT/database.

Like pg_isready: a server that asks for a password is well, one that starts up, shuts down, recovers or has no connection left
is not. It sends no password, so it needs none.
"""

from __future__ import annotations

import struct
from urllib.parse import unquote, urlsplit

from deploy.probes.base import Failed, ask, connected
from schemas.probes import Target

PORT = 5432
VERSION_3 = 196_608
AUTHENTICATION, ERROR = b"R", b"E"
AWAKE_CLASSES = ("28", "3D")
"""Classes of errors that a server has which is well: no such user or password, no such database."""


def startup(user: str, database: str) -> bytes:
    """The first message (PostgreSQL protocol 3, "StartupMessage")."""
    body = struct.pack(">i", VERSION_3) + b"".join(
        word.encode() + b"\0" for word in ("user", user, "database", database, "application_name", "davy")
    )
    return struct.pack(">i", len(body) + 5) + body + b"\0"


class PostgreSql:
    """Say hello."""

    kind = "postgresql"

    async def check(self, target: Target) -> None:
        """See `Probe`."""
        parts = urlsplit(target.place if "://" in target.place else f"//{target.place}")
        user = unquote(parts.username or "davy")
        async with connected(target, PORT) as stream:
            reply = await ask(stream, startup(user, parts.path.strip("/") or user))
        if reply.startswith(AUTHENTICATION):
            return
        if not reply.startswith(ERROR):
            raise Failed("it does not speak PostgreSQL's protocol")
        fields = {field[:1]: field[1:].decode("utf-8", "replace") for field in reply[5:].split(b"\0") if field}
        if fields.get(b"C", "")[:2] not in AWAKE_CLASSES:
            raise Failed(f"it says {fields.get(b'M', 'that something is wrong')}")


PROBE = PostgreSql()
