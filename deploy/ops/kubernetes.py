"""The roles as StatefulSets for kustomize: a stable name gives a restarted process its partitions back at once."""

from __future__ import annotations

from io import StringIO
from typing import Any

from ruamel.yaml import YAML

HEALTH_PORT = 7071
HTTP_PORT = 7070
USER = 10001
ROLES: dict[str, tuple[int, str, str, str]] = {
    "ingest": (2, "1", "1Gi", "2Gi"),
    "judge": (2, "1", "1Gi", "4Gi"),
    "rollout": (1, "100m", "256Mi", "1Gi"),
    "sink": (1, "200m", "512Mi", "2Gi"),
    "web": (1, "200m", "512Mi", "2Gi"),
    "alert": (1, "50m", "128Mi", "512Mi"),
}
"""Replicas, processors and memory asked for, memory at most."""
SECRETS: dict[str, tuple[str, ...]] = {"DAVY_TOKEN": ("web",), "DAVY_CLICKHOUSE_PASSWORD": ("sink", "web")}
"""Which roles get which key of the Secret `davy`; to the others davy.yaml's ${NAME} is `NOT_HERE`."""
NOT_HERE = "not-for-this-role"
SPOOL = "10Gi"
"""Disk of the sink, which keeps what ClickHouse does not take."""


def files() -> dict[str, str]:
    """The manifest."""
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.indent(mapping=2, sequence=4, offset=2)
    out = StringIO()
    out.write("# Written by python -m deploy.ops.\n")
    yaml.dump_all([_role(name) for name in ROLES], out)  # pyright: ignore[reportUnknownMemberType]
    return {"kustomize/roles.yaml": out.getvalue()}


def _role(name: str) -> dict[str, Any]:
    replicas, cpu, memory, memory_max = ROLES[name]
    labels = {"app.kubernetes.io/name": "davy", "app.kubernetes.io/component": name}
    port = HTTP_PORT if name == "web" else HEALTH_PORT
    volumes: list[dict[str, Any]] = [
        {"name": "config", "configMap": {"name": "davy"}},
        {"name": "tmp", "emptyDir": {}},
    ]
    spec: dict[str, Any] = {
        "replicas": replicas,
        "serviceName": f"davy-{name}",
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": dict(labels)},
        "template": {
            "metadata": {
                "labels": dict(labels),
                "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": str(port)},
            },
            "spec": {
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 20,
                "securityContext": {
                    "runAsNonRoot": True, "runAsUser": USER, "fsGroup": USER,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [_container(name, port, cpu, memory, memory_max)],
                "volumes": volumes,
            },
        },
    }  # fmt: skip
    if name == "sink":
        claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": SPOOL}}}
        spec["volumeClaimTemplates"] = [{"metadata": {"name": "data"}, "spec": claim}]
    else:
        volumes.append({"name": "data", "emptyDir": {}})
    return {
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": f"davy-{name}", "labels": dict(labels)}, "spec": spec,
    }  # fmt: skip


def _variable(key: str, role: str) -> dict[str, Any]:
    if role in SECRETS[key]:
        return {"name": key, "valueFrom": {"secretKeyRef": {"name": "davy", "key": key}}}
    return {"name": key, "value": NOT_HERE}


def _container(name: str, port: int, cpu: str, memory: str, memory_max: str) -> dict[str, Any]:
    alive = {"httpGet": {"path": "/healthz", "port": "http"}}
    ready = {"httpGet": {"path": "/healthz" if name == "web" else "/readyz", "port": "http"}}
    return {
        "name": name,
        "image": "davy",
        "args": ["run", name, "--config", "/etc/davy/davy.yaml", "--dir", "/var/lib/davy"],
        "env": [_variable(key, name) for key in SECRETS],
        "securityContext": {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        },
        "ports": [{"name": "http", "containerPort": port}],
        "livenessProbe": alive | {"initialDelaySeconds": 20},
        "readinessProbe": ready,  # people look at the console above all when something stands still
        "resources": {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory_max}},
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/davy", "readOnly": True},
            {"name": "data", "mountPath": "/var/lib/davy"},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }  # fmt: skip
