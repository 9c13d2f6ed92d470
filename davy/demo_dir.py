"""The demo's folder: made fresh for each demo, and never at the cost of what is not a demo's.

A marker file says that the folder's state is a demo's and may be replaced by the next one. Only names in
`STATE` are ever removed; whatever else lies in the folder stays.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import UserError

MARKER = "demo"
"""Its presence says: what lies here was made by a demo. It is also the lock of a running one."""
CONFIG = "davy.yaml"
STATE = (CONFIG, "logs", "traffic", "executor", "faust", "live", "clickhouse", "sink.json", "scrape", "spool")
"""Everything that a demo's processes keep in the folder."""


@contextmanager
def demo_dir(path: Path) -> Generator[Path]:
    """The folder, emptied of an earlier demo's state and locked; raises `UserError` where it is not ours to
    use."""
    path = path.resolve()
    marker = path / MARKER
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not marker.is_file() and (held := [name for name in STATE if (path / name).exists()]):
            raise UserError(
                f"{path} holds {', '.join(held)}, which no demo has made: "
                "choose another folder with --dir, or move them away"
            )
        lock = marker.open("w")
    except OSError as error:
        raise UserError(
            f"{path}: cannot be used for the demo's data ({error.strerror}): choose another with --dir"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another demo is running in {path}: end it, or choose another folder with --dir") from None
        for name in STATE:
            _remove(path / name)
        yield path


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
