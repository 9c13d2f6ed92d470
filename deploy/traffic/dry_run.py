"""Says what would be done, and does nothing."""

from __future__ import annotations

from typing import Any

import structlog

from deploy.traffic.base import Adapter, Order
from schemas.model import Model

log = structlog.get_logger("dry run")


class Options(Model):
    """None."""


class DryRun:
    """Writes a line into the log."""

    name = "dry-run"
    blind = True

    def apply(self, order: Order) -> None:
        log.info("would shift traffic", experiment=order.spec.id, weights=dict(order.weights), reason=order.reason)

    def fault(self, order: Order) -> str | None:
        return None


def _make(options: Options, _: Any) -> DryRun:
    return DryRun()


ADAPTER = Adapter("dry-run", Options, _make)
