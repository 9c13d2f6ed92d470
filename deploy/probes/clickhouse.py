"""clickhouse: its HTTP interface says Ok. to a ping. `address`: http://HOST:8123."""

from __future__ import annotations

from deploy.probes.base import Failed
from deploy.probes.http import get
from schemas.probes import Target


class ClickHouse:
    """GET /ping."""

    kind = "clickhouse"

    async def check(self, target: Target) -> None:
        """See `Probe`."""
        status, reply = await get(target, "/ping", until=b"Ok.")
        if status != 200 or b"Ok." not in reply:
            raise Failed(f"it answered a ping with status {status}")


PROBE = ClickHouse()
