"""The traffic splitter's files in `traffic_dir`: for whoever includes, watches or mounts them."""

from __future__ import annotations

from pathlib import Path

from deploy import splitter
from deploy.traffic.base import Adapter, Order, TargetAway, TargetError
from schemas.model import Model


class Options(Model):
    """None."""


class Files:
    """One folder per experiment."""

    name = "files"
    blind = False

    def __init__(self, root: Path) -> None:
        self.root = root

    def apply(self, order: Order) -> None:
        folder = self.root / order.spec.id
        try:
            splitter.write(folder, splitter.render(order.spec, order.weights))
        except OSError as error:
            raise TargetAway(f"{folder} cannot be written: {error.strerror}") from error

    def fault(self, order: Order) -> str | None:
        folder = self.root / order.spec.id
        for name, text in splitter.render(order.spec, order.weights).items():
            path = folder / name
            try:
                if path.read_text("utf-8") != text:
                    return f"{path} says something else"
            except FileNotFoundError:
                return f"{path} is not there"
            except (OSError, ValueError) as error:
                raise TargetError(f"{path} cannot be read: {error}") from error
        return None


ADAPTER = Adapter("files", Options, lambda options, config: Files(config.traffic))
