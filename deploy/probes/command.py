"""command: a program ends with exit code 0. `command`: its path, which the allow-list must name, and arguments."""

from __future__ import annotations

import asyncio

from deploy.probes.base import Failed
from schemas.probes import Target

TOLD_CHARACTERS = 200


class Command:
    """Run it; it is killed when its time is over."""

    kind = "command"

    async def check(self, target: Target) -> None:
        """See `Probe`."""
        process = await asyncio.create_subprocess_exec(
            *target.command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            _, told = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        if process.returncode:
            line = told.decode("utf-8", "replace").strip().splitlines()[-1:] or [""]
            raise Failed(f"exit code {process.returncode}: {line[0][:TOLD_CHARACTERS]}".rstrip(": "))


PROBE = Command()
