"""A real Envoy with its routes from the adapter's file: shares, units that keep their arm, and what it runs with."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy.splitter import step_weights
from deploy.traffic.base import Order, Target, TargetError
from streams.embedded import free_port
from tests.deploy.traffic.test_shares import NONE, REQUESTS, SPEC, STEPS, arms, configured, listens, walked
from tests.support.envoy import binary
from tests.support.system import until


@contextmanager
def envoy(folder: Path, ports: Mapping[str, int], routes: Path) -> Iterator[tuple[int, int]]:
    """In front of the arms, with its routes from a file; its port and its admin's."""
    port, admin = free_port(), free_port()

    def address(number: int) -> dict[str, Any]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": number}}

    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "rds": {
            "route_config_name": "davy_shop",
            "config_source": {"path_config_source": {"path": str(routes)}, "resource_api_version": "V3"},
        },
        "http_filters": [
            {
                "name": "router",
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    filters = [{"name": "http", "typed_config": manager}]
    clusters = [
        {
            "name": f"shop-{name}", "type": "STATIC", "connect_timeout": "1s",
            "load_assignment": {
                "cluster_name": f"shop-{name}",
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(number)}}]}],
            },
        }
        for name, number in ports.items()
    ]  # fmt: skip
    bootstrap = {
        "node": {"id": "test", "cluster": "test"}, "admin": {"address": address(admin)},
        "static_resources": {
            "listeners": [{"name": "in", "address": address(port), "filter_chains": [{"filters": filters}]}],
            "clusters": clusters,
        },
    }  # fmt: skip
    path = folder / "envoy.json"
    path.write_text(json.dumps(bootstrap))
    with (folder / "envoy.log").open("wb") as log:
        command = [str(binary()), "-c", str(path), "--concurrency", "1", "--disable-hot-restart"]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until(lambda: listens(port) and listens(admin), 30, "Envoy answered")
        yield port, admin
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.parametrize("requests", REQUESTS)
def test_envoy(tmp_path: Path, requests: int) -> None:
    routes, admin = tmp_path / "routes" / "davy.json", free_port()
    made: list[Target] = []
    with ExitStack() as stack:
        ports = stack.enter_context(arms(tmp_path / "arms"))
        files, silent = configured(tmp_path, f"{{type: envoy, path: {routes}}}")
        silent.apply(Order("o", SPEC, NONE, NONE))
        assert silent.fault(Order("o", SPEC, NONE, NONE)) is None
        with envoy(tmp_path, ports, routes) as (port, admin):
            _, target = configured(tmp_path, f"{{type: envoy, path: {routes}, admin: 'http://127.0.0.1:{admin}'}}")
            made.append(target)

            def again() -> None:
                target.apply(Order("again", SPEC, step_weights(SPEC, STEPS[-1]), NONE))

            walked(target, files, port, requests, again)
            routes.write_text("no json")
            with pytest.raises(TargetError, match="cannot be read"):
                target.fault(Order("o", SPEC, NONE, NONE))
        with pytest.raises(TargetError, match="cannot be read"):
            made[0].apply(Order("o", SPEC, NONE, NONE))


def test_an_envoy_that_does_not_take_the_file_is_told(tmp_path: Path) -> None:
    """It lost sight of the file, or refused it: what it runs with is asked of it."""
    routes, other = tmp_path / "routes.json", tmp_path / "other.json"
    _, silent = configured(tmp_path, f"{{type: envoy, path: {routes}}}")
    silent.apply(Order("o", SPEC, NONE, NONE))
    with arms(tmp_path / "arms") as ports, envoy(tmp_path, ports, routes) as (_, admin):
        entry = f"{{type: envoy, path: {other}, admin: 'http://127.0.0.1:{admin}', timeout: 300ms}}"
        _, target = configured(tmp_path, entry)
        order = Order("o", SPEC, step_weights(SPEC, 0.1), NONE)
        target.apply(order)
        assert re.search(r"runs davy_shop in version [0-9a-f]{16}, not [0-9a-f]{16}", str(target.fault(order)))
