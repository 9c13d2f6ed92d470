"""HTTPRoute weights, against an API that keeps the published schema and Kubernetes' rule of versions."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from deploy.executor import Executor
from deploy.journal import Journal
from deploy.traffic import targets
from deploy.traffic.base import Order, Target, TargetError
from schemas.config import parse_config
from schemas.spec import load_specs
from tests.support.gateway_api import Cluster
from tests.support.receiver import receiver

(SPEC,) = load_specs("""\
id: shop-2
service: shop
environment: test
variants: {control: {version: "1"}, canary: {version: "2"}}
slis: [{name: errors, type: error_ratio, max_increase: 1pp}]
steps: [{weight: 10%, duration: 1m}]
""")
START, STEP = {"control": 1.0, "canary": 0.0}, {"control": 0.9, "canary": 0.1}
ORDER = Order("o", SPEC, STEP, START)


def refs(control: int, canary: int) -> list[Any]:
    return [
        {"group": "", "kind": "Service", "name": "shop-primary", "port": 80, "weight": control},
        {"group": "", "kind": "Service", "name": "shop-canary", "port": 80, "weight": canary},
    ]


ROUTE: Any = {
    "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
    "metadata": {"name": "shop", "namespace": "prod", "resourceVersion": "7", "generation": 1, "labels": {"team": "shop"}},
    "spec": {
        "parentRefs": [{"name": "edge"}],
        "rules": [
            {"matches": [{"path": {"type": "PathPrefix", "value": "/static"}}], "backendRefs": [{"name": "cdn", "port": 80}]},
            {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": refs(10_000, 0)},
        ],
    },
    "status": {
        "parents": [
            {
                "parentRef": {"name": "edge"}, "controllerName": "example.com/gateway",
                "conditions": [
                    {
                        "type": "Accepted", "status": "True", "reason": "Accepted", "message": "", "observedGeneration": 1,
                        "lastTransitionTime": "2026-11-25T00:00:00Z",
                    }
                ],
            }
        ]
    },
}  # fmt: skip


def target(folder: Path, api: str) -> Target:
    token = folder / "token"
    token.write_text("t0ken\n")
    entry = (
        f"{{type: httproute, namespace: prod, name: shop, api: '{api}', token_file: {token}, "
        "timeout: 500ms, backends: {control: shop-primary}}"
    )
    return targets(parse_config(f"data_dir: {folder}\ntraffic:\n  - {entry}\n", "davy.yaml"))[1]


def test_the_weights_of_the_arms_are_set_and_nothing_else(tmp_path: Path) -> None:
    cluster = Cluster(copy.deepcopy(ROUTE), "t0ken")
    with receiver(cluster) as got:
        made = target(tmp_path, got.url)
        assert str(made.fault(ORDER)).startswith("httproute prod/shop gives shop-primary the weight 10000, not 9000")
        made.apply(ORDER)
        assert made.fault(ORDER) is None
        wanted = copy.deepcopy(ROUTE["spec"])
        wanted["rules"][1]["backendRefs"] = refs(9000, 1000)
        assert cluster.route["spec"] == wanted
        assert cluster.route["metadata"]["labels"] == {"team": "shop"}
        assert cluster.writes == 1
    with pytest.raises(TargetError, match="cannot be reached"):
        made.apply(ORDER)


def test_somebody_elses_change_is_not_lost_and_a_lie_or_a_refusal_is_seen(tmp_path: Path) -> None:
    cluster = Cluster(copy.deepcopy(ROUTE), "t0ken", lag=2)

    def interfering(call: Any) -> tuple[int, Any]:
        if call.method == "PUT" and cluster.writes == 0:  # another writes between our reading and writing
            cluster.route["metadata"] |= {"resourceVersion": "8", "labels": {"team": "other"}}
            cluster.writes += 1
        return cluster(call)

    with receiver(interfering) as got:
        made = target(tmp_path, got.url)
        executor = Executor([made], Journal(tmp_path / "journal.jsonl"), lambda: 1, wait=lambda _: None)
        trace = executor.run(ORDER)
        assert trace.fault is None, trace
        assert "try 2" in str(trace)
        assert cluster.route["metadata"]["labels"] == {"team": "other"}
        cluster.deaf = True
        assert "gives shop-primary the weight 9000" in str(executor.run(Order("deaf", SPEC, START, STEP)).fault)
        cluster.deaf, cluster.refuses = False, "no such port"
        fault = executor.run(Order("refused", SPEC, START, STEP)).fault
        assert fault == "httproute prod/shop: edge: Accepted: no such port"
        cluster.lag, cluster.refuses = 1_000, None
        assert "has not looked at it since" in str(executor.run(Order("unseen", SPEC, START, STEP)).fault)


def test_a_route_without_the_arms_or_the_right_to_see_it_is_told(tmp_path: Path) -> None:
    route = copy.deepcopy(ROUTE)
    route["spec"]["rules"][1]["backendRefs"].append({"name": "third", "port": 80})
    with receiver(Cluster(route, "t0ken")) as got, pytest.raises(TargetError, match="has no rule with the backends"):
        target(tmp_path, got.url).apply(ORDER)
    with (
        receiver(Cluster(copy.deepcopy(ROUTE), "other")) as got,
        pytest.raises(TargetError, match=r"^GET of .* answered 401"),
    ):
        target(tmp_path, got.url).apply(ORDER)
