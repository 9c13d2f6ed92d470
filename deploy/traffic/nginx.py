"""nginx: told to load the splitter's files anew, and seen to have done so.

nginx keeps its old configuration, without a word to whoever signalled, when the new one is wrong. So it is checked before
(`nginx -t`), and afterwards the master must have new workers, and the old ones must not accept connections any more.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from pydantic import Field

from deploy.traffic.base import Adapter, Order, TargetError
from deploy.traffic.files import Files
from schemas.config import Config
from schemas.model import Model, PositiveUs, Text

POLL_S = 0.02
CLOCK_S = 0.03  # the kernel tells when a process began in hundredths of a second, counted from another hundredth


class Options(Model):
    """`pid`: the master's pid file; `config`: its main configuration, which includes the splitter's files."""

    pid: Text = Field(default="/run/nginx.pid", examples=["/run/nginx.pid"])
    config: Text = Field(default="/etc/nginx/nginx.conf", examples=["/etc/nginx/nginx.conf"])
    binary: Text = Field(default="nginx", examples=["/usr/sbin/nginx"])
    timeout_us: PositiveUs = Field(default=5_000_000, alias="timeout")


class Nginx:
    """One nginx master process on this machine."""

    blind = False

    def __init__(self, options: Options, files: Files) -> None:
        self.options, self.files, self.timeout_s = options, files, options.timeout_us / 1e6
        self.name = f"nginx {options.config}"

    def apply(self, order: Order) -> None:
        if self.fault(order) is None:
            return
        checked = self._run("-t", "-c", self.options.config)
        if checked is not None:
            raise TargetError(f"{self.name} would not load: {checked}")
        master = self._master()
        before = self._workers(master)
        time.sleep(max(0.0, min(self._written_s(order) + CLOCK_S - time.time(), CLOCK_S)))  # so that `fault` can tell
        os.kill(master, signal.SIGHUP)
        deadline = time.monotonic() + self.timeout_s
        while not self._workers(master) - before or any(_accepts(worker) for worker in before):
            if time.monotonic() > deadline:
                raise TargetError(
                    f"{self.name} did not change its workers within {self.timeout_s:g} s: see its error log"
                )
            time.sleep(POLL_S)

    def fault(self, order: Order) -> str | None:
        """Whether its newest worker began after the files were last written."""
        workers = self._workers(self._master())
        if max((_started_s(worker) for worker in workers), default=0.0) >= self._written_s(order):
            return None
        return f"{self.name} runs with what the files said before"

    def _written_s(self, order: Order) -> float:
        """When the experiment's files were last written (Unix time)."""
        folder = self.files.root / order.spec.id
        return max((path.stat().st_mtime for path in folder.glob("nginx-*.conf")), default=0.0)

    def _master(self) -> int:
        try:
            master = int(Path(self.options.pid).read_text("utf-8"))
            os.kill(master, 0)
        except (OSError, ValueError) as error:
            raise TargetError(f"{self.name} does not run: {self.options.pid}: {error}") from error
        return master

    def _workers(self, master: int) -> set[int]:
        found: set[int] = set()
        for path in Path(f"/proc/{master}/task").glob("*/children"):
            try:
                found |= {int(word) for word in path.read_text("utf-8").split()}
            except OSError:
                continue
        return found

    def _run(self, *arguments: str) -> str | None:
        """What nginx complained of; None where it ended well."""
        try:
            done = subprocess.run(
                [self.options.binary, *arguments], capture_output=True, timeout=self.timeout_s, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise TargetError(f"{self.options.binary} cannot be run: {error}") from error
        return None if done.returncode == 0 else done.stderr.decode("utf-8", "replace").strip()[-300:]


def _accepts(worker: int) -> bool:
    """Whether a worker still takes connections: one that only ends what it has says so in its title."""
    try:
        return b"shutting down" not in Path(f"/proc/{worker}/cmdline").read_bytes()
    except OSError:
        return False


def _started_s(process: int) -> float:
    """When a process began (Unix time); 0 where it is gone."""
    try:
        ticks = int(Path(f"/proc/{process}/stat").read_text("utf-8").rpartition(")")[2].split()[19])
        uptime_s = float(Path("/proc/uptime").read_text("utf-8").split()[0])
    except (OSError, ValueError, IndexError):
        return 0.0
    return time.time() - uptime_s + ticks / os.sysconf("SC_CLK_TCK")


def _make(options: Options, config: Config) -> Any:
    return Nginx(options, Files(config.traffic))


ADAPTER = Adapter("nginx", Options, _make)
