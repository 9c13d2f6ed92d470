"""A command of the operator's own: run once the traffic before it in the list was shifted; `check` says whether it holds.

Both are run by sh with `DAVY_ORDER_ID` (the same for every repetition), `DAVY_EXPERIMENT`, `DAVY_SERVICE`, `DAVY_KIND`,
`DAVY_STEP`, `DAVY_ATTEMPT` and the weights as JSON in `DAVY_WEIGHTS`. Without `check` an end with 0 is believed.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from pydantic import Field

from deploy.traffic.base import Adapter, Order, TargetError
from schemas.model import Model, PositiveUs, Text

SAID_MAX = 200


class Options(Model):
    """What to run, and what tells whether it is needed (any end but 0)."""

    command: Text = Field(examples=["./switch.sh"])
    check: Text | None = None
    timeout_us: PositiveUs = Field(default=60_000_000, alias="timeout")


class Hook:
    """One command."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.name = f"hook {options.command}"
        self.blind = options.check is None

    def apply(self, order: Order) -> None:
        done = self._run(self.options.command, order)
        if done.returncode:
            said = (done.stderr or done.stdout).decode("utf-8", "replace").strip()[-SAID_MAX:]
            raise TargetError(f"{self.options.command!r} ended with {done.returncode}" + (f": {said}" if said else ""))

    def fault(self, order: Order) -> str | None:
        if self.options.check is None:
            return None
        failed = self._run(self.options.check, order).returncode
        return f"{self.options.check!r} says that it is not done" if failed else None

    def _run(self, command: str, order: Order) -> subprocess.CompletedProcess[bytes]:
        variables = {
            "DAVY_ORDER_ID": order.order_id, "DAVY_EXPERIMENT": order.spec.id, "DAVY_SERVICE": order.spec.service,
            "DAVY_KIND": order.kind, "DAVY_STEP": str(order.step), "DAVY_ATTEMPT": str(order.attempt),
            "DAVY_WEIGHTS": json.dumps(dict(order.weights)),
        }  # fmt: skip
        try:
            return subprocess.run(
                ["/bin/sh", "-c", command], env=os.environ | variables, capture_output=True, stdin=subprocess.DEVNULL,
                timeout=self.options.timeout_us / 1e6, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise TargetError(f"{command!r} did not end within {self.options.timeout_us / 1e6:g} s") from error


def _make(options: Options, _: Any) -> Hook:
    return Hook(options)


ADAPTER = Adapter("hook", Options, _make)
