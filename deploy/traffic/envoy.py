"""Envoy, by a route configuration in a file that it watches (RDS over the file system); read back from its admin address.

The file is replaced by rename, so that Envoy sees all of it at once. A unit is hashed with the experiment's id as salt, and
the hash picks the cluster: it keeps its arm while the candidate grows. Each request is told its arm in the header
`X-Davy-Variant`. docs/rollout.md has what Envoy's bootstrap needs. The messages are Envoy's v3 API (envoy.config.route.v3).
"""

from __future__ import annotations

import hashlib
import json
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from pydantic import Field

from deploy import splitter
from deploy.exchange import NoAnswer, exchange
from deploy.traffic.base import Adapter, Order, TargetAway, TargetError
from schemas.config import Config
from schemas.located import is_mapping
from schemas.model import Model, PositiveUs, Text
from schemas.spec import ExperimentSpec

ROUTE_TYPE = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
DUMP_BYTES_MAX = 64_000_000
POLL_S = 0.05


class Options(Model):
    """`path`: the file that `rds` names; `admin`: Envoy's admin address; `clusters` by variant (default SERVICE-VARIANT)."""

    path: Text = Field(examples=["/etc/envoy/davy-routes.json"])
    admin: Text | None = Field(default=None, examples=["http://127.0.0.1:9901"], pattern="^https?://")
    clusters: dict[Text, Text] = Field(default_factory=dict)
    domains: tuple[Text, ...] = ("*",)
    timeout_us: PositiveUs = Field(default=5_000_000, alias="timeout")


class Envoy:
    """One file, and the Envoy that watches it; without `admin` the file alone is read back."""

    blind = False

    def __init__(self, options: Options) -> None:
        self.options, self.path = options, Path(options.path)
        self.name = f"envoy {options.path}"
        self._timeout_s = options.timeout_us / 1e6

    def apply(self, order: Order) -> None:
        text = json.dumps(response(order.spec, order.weights, self.options), indent=2) + "\n"
        try:
            splitter.write(self.path.parent, {self.path.name: text})
        except OSError as error:
            raise TargetAway(f"{self.path} cannot be written: {error.strerror}") from error
        deadline = time.monotonic() + self._timeout_s
        while self.fault(order) is not None and time.monotonic() < deadline:  # it sees the file a moment later
            time.sleep(POLL_S)

    def fault(self, order: Order) -> str | None:
        wanted = response(order.spec, order.weights, self.options)
        try:
            written = json.loads(self.path.read_text("utf-8"))
        except FileNotFoundError:
            return f"{self.path} is not there"
        except (OSError, ValueError) as error:
            raise TargetError(f"{self.path} cannot be read: {error}") from error
        if written != wanted:
            return f"{self.path} says something else"
        if self.options.admin is None:
            return None
        name = route_name(order.spec)
        found = self._dumped(name)
        if found != wanted["version_info"]:
            return f"{self.options.admin} runs {name} in version {found or 'none'}, not {wanted['version_info']}"
        return None

    def _dumped(self, name: str) -> str | None:
        """The version of the route configuration that Envoy runs with."""
        url = f"{self.options.admin}/config_dump?{urlencode({'resource': 'dynamic_route_configs'})}"
        try:
            document: Any = json.loads(exchange("GET", url, {}, timeout_s=self._timeout_s, bytes_max=DUMP_BYTES_MAX))
        except NoAnswer as error:
            if error.status == HTTPStatus.NOT_FOUND:  # it has no route configuration at all
                return None
            raise TargetError(f"{url} cannot be read: it {error}") from error
        except ValueError as error:
            raise TargetError(f"{url} cannot be read: {error}") from error
        configs: list[Any] = document.get("configs", []) if is_mapping(document) else []
        versions = [one.get("version_info") for one in configs if one.get("route_config", {}).get("name") == name]
        return versions[0] if versions else None


def route_name(spec: ExperimentSpec) -> str:
    """As `rds: {route_config_name: ...}` names it."""
    return f"davy_{spec.service}"


def response(spec: ExperimentSpec, weights: splitter.Weights, options: Options) -> dict[str, Any]:
    """A DiscoveryResponse with one RouteConfiguration; its version is a digest of its content."""
    config = route_configuration(spec, weights, options)
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
    return {"version_info": digest[:16], "resources": [{"@type": ROUTE_TYPE, **config}]}


def route_configuration(spec: ExperimentSpec, weights: splitter.Weights, options: Options) -> dict[str, Any]:
    """Candidates first, integer weights that add up to `SHARES`."""
    parts = splitter.shares({name: weights.get(name, 0.0) for name in spec.variants}, spec.candidates)
    clusters = [
        {
            "name": options.clusters.get(name, f"{spec.service}-{name}"), "weight": part,
            "request_headers_to_add": [
                {"header": {"key": "x-davy-variant", "value": name}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            ],
        }
        for name, part in parts.items()
    ]  # fmt: skip
    salted = {"pattern": {"regex": "^(.*)$"}, "substitution": f"{spec.id}\\1"}
    route = {
        "hash_policy": [{"header": {"header_name": spec.unit_header.lower(), "regex_rewrite": salted}}],
        "weighted_clusters": {"clusters": clusters, "use_hash_policy": True},
    }
    routes = [{"match": {"prefix": "/"}, "route": route}]
    host = {"name": route_name(spec), "domains": list(options.domains), "routes": routes}
    return {"name": route_name(spec), "virtual_hosts": [host]}


def _make(options: Options, _: Config) -> Envoy:
    return Envoy(options)


ADAPTER = Adapter("envoy", Options, _make)
