"""tls: the certificate is trusted and does not expire soon. `address`: HOST:PORT (default 443); `expires_within`."""

from __future__ import annotations

import ssl
import time
from datetime import UTC, datetime

from deploy.probes.base import Failed, connected
from schemas.probes import Target

PORT = 443
DAY_S = 86_400.0


class Tls:
    """A handshake, then the certificate's end."""

    kind = "tls"

    async def check(self, target: Target) -> None:
        """See `Probe`."""
        try:
            async with connected(target, PORT, ssl.create_default_context()) as (_, writer):
                certificate = writer.get_extra_info("peercert")
        except ssl.SSLCertVerificationError as error:
            raise Failed(f"its certificate is not trusted: {error.verify_message}") from None
        end_s = ssl.cert_time_to_seconds(certificate["notAfter"])
        if end_s - time.time() < target.expires_within_us / 1e6:
            days = (end_s - time.time()) / DAY_S
            raise Failed(f"its certificate ends in {days:.1f} days, on {datetime.fromtimestamp(end_s, UTC):%Y-%m-%d}")


PROBE = Tls()
