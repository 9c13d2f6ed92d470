"""A real ClickHouse server for tests: Debian's, on free ports, in a folder of its own."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streams.embedded import free_port

READY_TIMEOUT_S = 60.0
_CONFIG = """<?xml version="1.0"?>
<yandex>
  <logger><level>warning</level><console>1</console></logger>
  <tcp_port>{tcp}</tcp_port><http_port>{http}</http_port><listen_host>127.0.0.1</listen_host>
  <path>{folder}/data/</path><tmp_path>{folder}/tmp/</tmp_path>
  <users_config>users.xml</users_config>
  <default_profile>default</default_profile><default_database>default</default_database>
  <mark_cache_size>67108864</mark_cache_size>
</yandex>
"""
_USERS = """<?xml version="1.0"?>
<yandex>
  <profiles><default/><reader><readonly>1</readonly></reader></profiles>
  <users>
    <reader>
      <password>s3cret</password><networks><ip>127.0.0.1</ip></networks>
      <profile>reader</profile><quota>default</quota>
    </reader>
    <analyst>
      <password>s3cret</password><networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile><quota>default</quota>
    </analyst>
    <default>
      <password></password><networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile><quota>default</quota>
    </default>
  </users>
  <quotas><default/></quotas>
</yandex>
"""


class ClickhouseServer:
    """A server that is started, killed and started again on the same port; data stay in `folder`. `users` is a file of more
    users."""

    def __init__(self, folder: Path, port: int | None = None, users: str | None = None) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.url = f"clickhouse://analyst:s3cret@127.0.0.1:{self.port}/davy"
        self.process: subprocess.Popen[bytes] | None = None
        self._binary = _installed()
        for name in ("data", "tmp"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        config = _CONFIG.format(tcp=self.port, http=free_port(), folder=folder)
        (folder / "config.xml").write_text(config)
        (folder / "users.xml").write_text(_USERS)
        if users is not None:
            (folder / "users.d").mkdir(exist_ok=True)
            (folder / "users.d" / "more.xml").write_text(users)

    def start(self) -> None:
        """Until it answers."""
        path = self.folder / "log"
        with path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdout=log, stderr=log,
                restore_signals=False,  # a file that may not grow is an error of its writer, not its end
            )  # fmt: skip
        _wait_for(self.port, self.process, path)

    def command(self) -> list[str]:
        """What runs in the foreground."""
        return [self._binary, f"--config-file={self.folder / 'config.xml'}"]

    def kill(self) -> None:
        """At once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def fill_disk(self, full: bool) -> None:
        """Let no file grow any more; or again."""
        assert self.process is not None
        limit = 1 if full else resource.RLIM_INFINITY
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    def stop(self) -> None:
        """As it should be."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)


@contextmanager
def clickhouse_server(folder: Path, port: int | None = None, users: str | None = None) -> Iterator[str]:
    """The address of a running server, with user and password; see `ClickhouseServer`."""
    server = ClickhouseServer(folder, port, users)
    try:
        server.start()
        yield server.url
    finally:
        server.stop()


def _installed() -> str:
    """The server's path; installed where that is ours to do."""
    found = _which()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", "-y", "--no-install-recommends", "clickhouse-server"]):
            subprocess.run(["apt-get", *command], env=environment, check=True, capture_output=True)
        found = _which()
    if found is None:
        pytest.fail("these tests need a ClickHouse server: install the package clickhouse-server")
    return found


def _which() -> str | None:
    return shutil.which("clickhouse-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin")


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail(f"the ClickHouse server does not start: {log.read_text('utf-8', 'replace')[-500:]}")
