"""A flagd file that several experiments (and other flags) share: this experiment's flag in it, the rest untouched.

flagd watches the file and sees it replaced by rename. A lock beside it keeps two writers apart.
"""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import Any

from pydantic import Field

from deploy import splitter
from deploy.traffic.base import Adapter, Order, TargetAway, TargetError
from schemas.located import is_mapping
from schemas.model import Model, Text


class Options(Model):
    """`path`: the file that flagd reads (`--uri file:PATH`)."""

    path: Text = Field(examples=["/etc/flagd/flags.json"])


class Flagd:
    """One file with flags."""

    blind = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = f"flagd {path}"

    def apply(self, order: Order) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.with_name(f".{self.path.name}.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                document = self._document()
                flags = {**document.get("flags", {}), order.spec.id: _flag(order)}
                splitter.write(
                    self.path.parent, {self.path.name: json.dumps({**document, "flags": flags}, indent=2) + "\n"}
                )
        except OSError as error:
            raise TargetAway(f"{self.path} cannot be written: {error.strerror}") from error

    def fault(self, order: Order) -> str | None:
        found = self._document().get("flags", {}).get(order.spec.id)
        return None if found == _flag(order) else f"the flag {order.spec.id} in {self.path} is another"

    def _document(self) -> dict[str, Any]:
        try:
            document = json.loads(self.path.read_text("utf-8"))
        except FileNotFoundError:
            return {"$schema": "https://flagd.dev/schema/v0/flags.json"}
        except (OSError, ValueError) as error:
            raise TargetError(f"{self.path} cannot be read: {error}") from error
        if not is_mapping(document) or not is_mapping(document.get("flags", {})):
            raise TargetError(f"{self.path} is no file with flags")
        return document


def _flag(order: Order) -> Any:
    document = json.loads(splitter.render(order.spec, order.weights)[splitter.FLAGD])
    return document["flags"][order.spec.id]


def _make(options: Options, _: Any) -> Flagd:
    return Flagd(Path(options.path))


ADAPTER = Adapter("flagd", Options, _make)
