"""Anybody who splits traffic, or must know of it, over HTTP: weights by POST; where they can be asked for, read back by GET.

`Idempotency-Key` is the order's id, the same for every repetition. With `read_url` the answer must be a JSON object whose
`weights` are as ordered (share per variant); without it a 2xx is believed.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import Field, SecretStr

from deploy.exchange import NoAnswer, exchange
from deploy.splitter import SHARES
from deploy.traffic.base import Adapter, Order, TargetAway, TargetError
from schemas.located import is_mapping
from schemas.model import Model, PositiveUs, Text

ANSWER_BYTES_MAX = 65_536
SAID_MAX = 200
TOLERANCE = 1.0 / SHARES


class Options(Model):
    """`token` is sent as `Authorization: Bearer`."""

    url: Text = Field(examples=["https://gateway.example/weights"], pattern="^https?://")
    read_url: Text | None = Field(default=None, pattern="^https?://")
    token: SecretStr | None = None
    timeout_us: PositiveUs = Field(default=5_000_000, alias="timeout")


class Webhook:
    """One address."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.name = f"webhook {options.url}"
        self.blind = options.read_url is None

    def apply(self, order: Order) -> None:
        body = {
            "order_id": order.order_id, "experiment": order.spec.id, "service": order.spec.service,
            "environment": order.spec.environment, "step": order.step, "weights": dict(order.weights),
            "versions": {name: arm.version for name, arm in order.spec.variants.items()}, "kind": order.kind,
            "reason": order.reason, "attempt": order.attempt,
        }  # fmt: skip
        self._call(self.options.url, json.dumps(body).encode(), order.order_id)

    def fault(self, order: Order) -> str | None:
        if self.options.read_url is None:
            return None
        found = self._read()
        off = [n for n, weight in order.weights.items() if abs(found.get(n, 0.0) - weight) > TOLERANCE]
        return f"{self.options.read_url} tells other weights of {', '.join(off)}" if off else None

    def _read(self) -> dict[str, float]:
        answer = self._call(self.options.read_url or "", None, None)
        try:
            weights = json.loads(answer)["weights"]
            return {str(name): float(weight) for name, weight in weights.items()} if is_mapping(weights) else {}
        except (ValueError, TypeError, KeyError) as error:
            raise TargetError(f"{self.options.read_url} does not tell its weights: {answer[:SAID_MAX]!r}") from error

    def _call(self, url: str, body: bytes | None, key: str | None) -> bytes:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if key is not None:
            headers["Idempotency-Key"] = key
        if self.options.token is not None:
            headers["Authorization"] = f"Bearer {self.options.token.get_secret_value()}"
        method, timeout_s = "GET" if body is None else "POST", self.options.timeout_us / 1e6
        try:
            return exchange(method, url, headers, body, timeout_s=timeout_s, bytes_max=ANSWER_BYTES_MAX)
        except NoAnswer as error:
            raise (TargetAway if error.status is None else TargetError)(f"{url} {error}") from error


def _make(options: Options, _: Any) -> Webhook:
    return Webhook(options)


ADAPTER = Adapter("webhook", Options, _make)
