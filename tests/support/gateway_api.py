"""The Gateway API's published schema of an HTTPRoute, from its Go module, fetched once; and a Kubernetes API that knows it."""

from __future__ import annotations

import copy
import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from tests.support.receiver import Call
from tests.support.system import locked, program

MODULE = "sigs.k8s.io/gateway-api@v1.3.0"
CRD = "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"


@cache
def schema() -> Any:
    """Of version v1."""
    go = program("go", "golang-go")
    with locked("gateway-api"):
        done = subprocess.run([go, "mod", "download", "-json", MODULE], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"{MODULE} could not be fetched: {done.stdout[-500:]}{done.stderr[-500:]}", pytrace=False)
    document = YAML(typ="safe").load(Path(json.loads(done.stdout)["Dir"]) / CRD)
    (version,) = [one for one in document["spec"]["versions"] if one["name"] == "v1"]
    return version["schema"]["openAPIV3Schema"]


class Cluster:
    """One route, as an API server keeps it: whoever writes must have read the present version."""

    def __init__(self, route: Any, token: str, lag: int = 0) -> None:
        self.route, self.token, self.lag = route, token, lag
        """The gateway looks at a change when it was asked for so many times."""
        self._asked = 0
        self.writes = 0
        self.deaf = False
        """Says yes and changes nothing."""
        self.refuses: str | None = None
        """What the gateway says against every change."""
        jsonschema.validate(route, schema())

    def __call__(self, call: Call) -> tuple[int, Any]:
        name = "/apis/gateway.networking.k8s.io/v1/namespaces/prod/httproutes/shop"
        if call.headers.get("authorization") != f"Bearer {self.token}":
            return 401, {"message": "Unauthorized"}
        if call.path != name:
            return 404, {"message": "not found"}
        if call.method == "GET":
            self._asked += 1
            if self._asked > self.lag:
                self._look()
        if call.method == "PUT":
            try:
                jsonschema.validate(call.body, schema())
            except jsonschema.ValidationError as error:
                return 422, {"message": error.message}
            if call.body["metadata"]["resourceVersion"] != self.route["metadata"]["resourceVersion"]:
                return 409, {"message": "the object has been modified"}
            self.writes += 1
            if not self.deaf:
                self._take(copy.deepcopy(call.body))
        return 200, self.route

    def _take(self, route: Any) -> None:
        meta = route["metadata"]
        meta["resourceVersion"] = str(int(meta["resourceVersion"]) + 1)
        if route["spec"] != self.route["spec"]:
            meta["generation"] += 1
        self.route, self._asked = route, 0
        if not self.lag:
            self._look()

    def _look(self) -> None:
        """As a gateway's controller does."""
        seen = {
            "observedGeneration": self.route["metadata"]["generation"],
            "status": "False" if self.refuses else "True",
        }
        for parent in self.route["status"]["parents"]:
            for condition in parent["conditions"]:
                condition.update(seen | {"message": self.refuses or "fine"})
