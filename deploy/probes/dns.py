"""dns: a name has an address, by this machine's resolver. `address`: the name."""

from __future__ import annotations

import asyncio
import socket

from deploy.probes.base import Failed
from schemas.probes import Target


class Dns:
    """Resolve."""

    kind = "dns"

    async def check(self, target: Target) -> None:
        """See `Probe`."""
        try:
            await asyncio.get_running_loop().getaddrinfo(target.host, None, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise Failed(f"the name has no address: {error.strerror}") from None


PROBE = Dns()
