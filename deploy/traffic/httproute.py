"""Gateway API: weights of an HTTPRoute's backends, through the Kubernetes API (gateway.networking.k8s.io/v1).

Read, changed and written with the version that was read, so that nobody else's change is lost; read back; and a gateway that
does not accept it is a fault. Only rules whose backends are the experiment's arms are changed, all weights of a rule at once.
Gateways split requests, not units.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from deploy import splitter
from deploy.exchange import NoAnswer, exchange
from deploy.traffic.base import Adapter, Order, TargetAway, TargetError
from schemas.config import Config
from schemas.located import is_mapping
from schemas.model import Model, PositiveUs, Text

ANSWER_BYTES_MAX = 4_000_000
SAID_MAX = 200
POLL_S = 0.1
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class Options(Model):
    """`api`, `token_file` and `ca_file` are a pod's own unless told; `backends` are Services by variant (default
    SERVICE-VARIANT)."""

    namespace: Text = Field(examples=["shop"])
    name: Text = Field(examples=["shop"])
    backends: dict[Text, Text] = Field(default_factory=dict)
    api: Text = Field(default="https://kubernetes.default.svc", pattern="^https?://")
    token_file: Text = str(ACCOUNT / "token")
    ca_file: Text = str(ACCOUNT / "ca.crt")
    timeout_us: PositiveUs = Field(default=5_000_000, alias="timeout")


class HttpRoute:
    """One route."""

    blind = False

    def __init__(self, options: Options) -> None:
        self.options = options
        self.name = f"httproute {options.namespace}/{options.name}"
        self._url = (
            f"{options.api.rstrip('/')}/apis/gateway.networking.k8s.io/v1/namespaces/{options.namespace}/httproutes/"
            f"{options.name}"
        )

    def apply(self, order: Order) -> None:
        route = self._call("GET")
        for refs in self._split(route, order):
            for ref, weight in refs:
                ref["weight"] = weight
        route = self._call("PUT", route)
        deadline = time.monotonic() + self.options.timeout_us / 1e6
        while self._unseen(route) is not None and time.monotonic() < deadline:
            time.sleep(POLL_S)
            route = self._call("GET")

    def fault(self, order: Order) -> str | None:
        route = self._call("GET")
        for refs in self._split(route, order):
            for ref, weight in refs:
                if ref.get("weight", 1) != weight:
                    return f"{self.name} gives {ref['name']} the weight {ref.get('weight', 1)}, not {weight}"
        return self._unseen(route) or self._refused(route)

    def _split(self, route: Any, order: Order) -> list[list[tuple[Any, int]]]:
        """For each rule that splits the experiment: its backends and what their weights are to be."""
        parts = splitter.shares(
            {name: order.weights.get(name, 0.0) for name in order.spec.variants}, order.spec.candidates
        )
        services = {
            self.options.backends.get(name, f"{order.spec.service}-{name}"): part for name, part in parts.items()
        }
        found: list[list[tuple[Any, int]]] = []
        for rule in route.get("spec", {}).get("rules", []):
            refs = rule.get("backendRefs", [])
            if {ref.get("name") for ref in refs} == set(services):
                found.append([(ref, services[ref["name"]]) for ref in refs])
        if not found:
            raise TargetError(f"{self.name} has no rule with the backends {', '.join(services)}, and none else")
        return found

    def _unseen(self, route: Any) -> str | None:
        """Which gateway has not looked at this generation of the route yet, as a clause."""
        generation = route.get("metadata", {}).get("generation", 0)
        for gateway, condition in _conditions(route):
            if condition.get("observedGeneration", generation) < generation:
                return f"{self.name}: {gateway} has not looked at it since it was changed"
        return None

    def _refused(self, route: Any) -> str | None:
        """What a gateway says against it."""
        for gateway, condition in _conditions(route):
            if condition.get("status") == "False":
                return f"{self.name}: {gateway}: {condition.get('reason')}: {str(condition.get('message'))[:SAID_MAX]}"
        return None

    def _call(self, method: str, body: Any = None) -> Any:
        """The route; raises `TargetError`."""
        data = None if body is None else json.dumps(body, allow_nan=False).encode()
        try:
            route: Any = json.loads(
                exchange(
                    method, self._url, self._headers(), data, timeout_s=self.options.timeout_us / 1e6,
                    bytes_max=ANSWER_BYTES_MAX, tls=self._tls(),
                )
            )  # fmt: skip
        except NoAnswer as error:
            raise (TargetAway if error.status is None else TargetError)(f"{method} of {self._url} {error}") from error
        except ValueError as error:
            raise TargetError(f"{self._url} answered no JSON: {error}") from error
        if not is_mapping(route) or route.get("kind") != "HTTPRoute":
            raise TargetError(f"{self._url} is no HTTPRoute")
        return route

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        token = Path(self.options.token_file)
        if token.is_file():  # read each time: Kubernetes changes it
            headers["Authorization"] = f"Bearer {token.read_text('utf-8').strip()}"
        return headers

    def _tls(self) -> ssl.SSLContext | None:
        if not self.options.api.startswith("https"):
            return None
        ca = Path(self.options.ca_file)
        return ssl.create_default_context(cafile=str(ca) if ca.is_file() else None)


def _conditions(route: Any) -> Iterator[tuple[str, Any]]:
    """What gateways say of a route, by gateway."""
    for parent in route.get("status", {}).get("parents", []):
        name = parent.get("parentRef", {}).get("name", "a gateway")
        yield from (
            (name, one) for one in parent.get("conditions", []) if one.get("type") in ("Accepted", "ResolvedRefs")
        )


def _make(options: Options, _: Config) -> HttpRoute:
    return HttpRoute(options)


ADAPTER = Adapter("httproute", Options, _make)
