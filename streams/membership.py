"""Static membership in a consumer group (KIP-345): a process that comes back within the session gets its partitions back
at once, without a rebalance.

Two processes must never share an instance id, and one that is started again must find its own: the id is made of the
host, the data folder and the lowest number whose lock file nobody holds.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
from functools import cache
from pathlib import Path

from schemas.config import Config
from schemas.errors import InfrastructureError

SESSION_MS = 8_000
HEARTBEAT_MS = 2_000
MEMBERS_MAX = 256
"""Processes of one role with one data folder."""


def member(config: Config, role: str) -> dict[str, str | int]:
    """Consumer settings of this process as a member of its role's group."""
    place = hashlib.sha256(f"{socket.gethostname()}\0{config.data_dir.resolve()}".encode()).hexdigest()[:12]
    return {
        "group.instance.id": f"{role}-{place}-{number(config, role)}",
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": SESSION_MS,
        "heartbeat.interval.ms": HEARTBEAT_MS,
    }


def number(config: Config, role: str) -> int:
    """Of this process among those that have the role with the same data folder."""
    return _number(config.data_dir.resolve() / "members", role)


@cache
def _number(folder: Path, role: str) -> int:
    """The lowest free number, locked until this process ends, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(MEMBERS_MAX):
        handle = os.open(folder / f"{role}-{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            continue
        return number  # the handle stays open on purpose
    raise InfrastructureError(
        f"{MEMBERS_MAX} {role} processes use {folder.parent} already: give this one its own --dir"
    )
