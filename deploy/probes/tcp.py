"""tcp: a connection can be made. `address`: HOST:PORT."""

from __future__ import annotations

from deploy.probes.base import connected
from schemas.probes import Target


class Tcp:
    """Connect, no more."""

    kind = "tcp"

    async def check(self, target: Target) -> None:
        """See `Probe`."""
        async with connected(target):
            pass


PROBE = Tcp()
