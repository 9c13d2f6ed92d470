"""Real servers from Debian packages on free loopback ports: started, killed and started again by tests."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from streams.embedded import die_with_parent, free_port
from tests.support.system import program, until

START_S = 30.0


class Server:
    """A server on `port`; runs while the context is, unless killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """What runs in the foreground."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Until it listens."""
        with (self.folder / f"{type(self).__name__}.log").open("ab") as log:
            self._process = subprocess.Popen(self.command(), stdout=log, stderr=log, preexec_fn=die_with_parent)  # noqa: PLW1509
        until(self._listens, START_S, f"{type(self).__name__} listened")

    def kill(self) -> None:
        """At once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1.0).close()
        except OSError:
            return False
        return True


class Redis(Server):
    """Keeps nothing."""

    def command(self) -> list[str]:
        """Nothing on disk."""
        binary = program("redis-server", "redis-server")
        return [binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)]


class Postgres(Server):
    """A new cluster; the server does not run as root."""

    def command(self) -> list[str]:
        """Made at the first start."""
        binary = Path(program("postgres", "postgresql")).resolve()
        data = self.folder / "postgres"
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        if not data.exists():
            data.mkdir()
            if user:
                shutil.chown(data, pwd.getpwnam("postgres").pw_uid, pwd.getpwnam("postgres").pw_gid)
                for parent in [self.folder, *self.folder.parents]:
                    if parent == Path(tempfile.gettempdir()):
                        break
                    parent.chmod(parent.stat().st_mode | 0o711)
            initdb = [*user, str(binary.parent / "initdb"), "-D", str(data), "-A", "trust", "-U", "postgres", "-N"]
            subprocess.run(initdb, check=True, capture_output=True, cwd="/")
        (data / "postmaster.pid").unlink(missing_ok=True)  # of one that was killed
        return [*user, str(binary), "-D", str(data), "-p", str(self.port), "-h", "127.0.0.1", "-k", str(data), "-F"]


class Alertmanager(Server):
    """With no receiver that goes anywhere."""

    def command(self) -> list[str]:
        """Alone, no cluster."""
        binary = program("prometheus-alertmanager", "prometheus-alertmanager")
        config = self.folder / "alertmanager.yml"
        config.write_text("route: {receiver: none, group_wait: 0s}\nreceivers: [{name: none}]\n")
        return [
            binary, f"--config.file={config}", f"--storage.path={self.folder / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{self.port}", "--cluster.listen-address=",
        ]  # fmt: skip
