"""TLS of what answers HTTP here: a context from PEM files that takes up renewed ones without a restart."""

from __future__ import annotations

import ssl
import threading
from pathlib import Path

import structlog

from schemas.access import Tls
from schemas.errors import UserError

LOOK_S = 5.0
"""So often the files are looked at."""

log = structlog.get_logger("tls")


class Certificate:
    """The server's certificate, and the context that shows it; with `clients` only who has one of theirs is answered."""

    def __init__(self, tls: Tls) -> None:
        self.tls = tls
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._seen = self._changed()
        self._load()
        if tls.clients is not None:
            try:
                self.context.load_verify_locations(tls.clients)
            except (OSError, ssl.SSLError) as error:
                raise _unreadable(tls.clients, "clients' authorities", error) from error
            self.context.verify_mode = ssl.CERT_REQUIRED

    def renew(self) -> None:
        """Take up the files where they changed; what is no certificate with its key is told, and the old one stays."""
        changed = self._changed()
        if changed == self._seen:
            return
        self._seen = changed
        try:
            self._load()
            log.info("certificate renewed", certificate=str(self.tls.certificate))
        except UserError as error:
            log.error("the certificate before it stays in use", error=str(error))

    def renewing(self, stop: threading.Event) -> threading.Thread:
        """A thread that does so until `stop` is set."""

        def look() -> None:
            while not stop.wait(LOOK_S):
                self.renew()

        thread = threading.Thread(target=look, name="tls", daemon=True)
        thread.start()
        return thread

    def _load(self) -> None:
        try:
            # a scratch context first: certificate and key are two files, and half of a change must not be shown
            for context in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self.context):
                context.load_cert_chain(self.tls.certificate, self.tls.key)
        except (OSError, ssl.SSLError) as error:
            raise _unreadable(self.tls.certificate, "certificate", error) from error

    def _changed(self) -> tuple[int, ...]:
        return tuple(_time(path) for path in (self.tls.certificate, self.tls.key))


def _time(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _unreadable(path: Path, what: str, error: OSError) -> UserError:
    why = (
        (error.strerror or str(error)) if not isinstance(error, ssl.SSLError) else (error.reason or str(error)).lower()
    )
    return UserError(
        f"the {what} in {path} cannot be used ({why.replace('_', ' ')}): name PEM files under tls: in davy.yaml"
    )
