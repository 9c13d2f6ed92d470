"""Manifests, chart, containers and units: valid for the tools that read them, and in step with the roles."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from davy.commands.run import ROLES
from deploy.ops import kubernetes
from schemas.config import load_config
from tests.support.system import CACHE, locked, program

OPS = Path(__file__).parents[3] / "deploy" / "ops"
VERSION = "1.34"
TOOLS = {"kustomize": "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1", "helm": "helm.sh/helm/v3/cmd/helm@v3.19.0"}
SECRETS = {"DAVY_TOKEN": "t", "DAVY_CLICKHOUSE_PASSWORD": "p"}


def documents(text: str) -> list[dict[str, Any]]:
    return [document for document in YAML(typ="safe").load_all(text) if document]


def secret(key: str, role: str) -> Any:
    """What a role's environment has of it: the secret where the role needs it."""
    needed = role in kubernetes.SECRETS[key]
    return {"secretKeyRef": {"name": "davy", "key": key}} if needed else kubernetes.NOT_HERE


def check(manifests: list[dict[str, Any]]) -> None:
    """Against Kubernetes' published schemas; then that each role is there, with its port."""
    for manifest in manifests:
        kubernetes_validate.validate(manifest, VERSION, strict=True)
    sets = {m["metadata"]["labels"]["app.kubernetes.io/component"]: m for m in manifests if m["kind"] == "StatefulSet"}
    assert list(sets) == list(ROLES)
    for role, manifest in sets.items():
        (container,) = manifest["spec"]["template"]["spec"]["containers"]
        assert container["args"][:2] == ["run", role]
        assert "envFrom" not in container
        got = {variable["name"]: variable.get("value", variable.get("valueFrom")) for variable in container["env"]}
        assert got == {key: secret(key, role) for key in kubernetes.SECRETS}
        port = kubernetes.HTTP_PORT if role == "web" else kubernetes.HEALTH_PORT
        assert container["ports"] == [{"name": "http", "containerPort": port}]
        claims = [claim["metadata"]["name"] for claim in manifest["spec"].get("volumeClaimTemplates", [])]
        volumes = [volume["name"] for volume in manifest["spec"]["template"]["spec"]["volumes"]]
        assert {mount["name"] for mount in container["volumeMounts"]} == {*volumes, *claims}


def test_kustomize_is_valid() -> None:
    kustomization = documents((OPS / "kustomize" / "kustomization.yaml").read_text())[0]
    files = [OPS / "kustomize" / name for name in kustomization["resources"]]
    check([document for file in files for document in documents(file.read_text())])
    for generator in kustomization["configMapGenerator"]:
        assert all((OPS / "kustomize" / name).is_file() for name in generator["files"])


@pytest.mark.parametrize("file", ["davy.yaml", "kustomize/davy.yaml", "helm/davy/values.yaml"])
def test_the_configuration_that_is_shipped_is_one(file: str, tmp_path: Path) -> None:
    path = OPS / file
    if "values" in file:
        yaml = YAML()
        content = documents(path.read_text())[0]["config"]
        path = tmp_path / "davy.yaml"
        yaml.dump(content, path)
    environment = os.environ.copy()
    os.environ.update(SECRETS)
    try:
        config = load_config(path)
    finally:
        os.environ.clear()
        os.environ.update(environment)
    assert config.health.port == kubernetes.HEALTH_PORT
    assert config.http.port == kubernetes.HTTP_PORT


def test_compose_runs_every_role_and_mounts_what_is_there() -> None:
    compose = documents((OPS / "compose.yaml").read_text())[0]
    services = compose["services"]
    assert [name for name in services if services[name].get("image") == "davy"] == list(ROLES)
    for name, service in services.items():
        if name in ROLES:
            assert service["command"][:2] == ["run", name]
            for key, roles in kubernetes.SECRETS.items():
                value = service["environment"][key]
                assert value.startswith(f"${{{key}:?") if name in roles else value == kubernetes.NOT_HERE
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert (OPS / source).exists() if source.startswith(".") else source in compose["volumes"]
    scraped = documents((OPS / "prometheus" / "prometheus.yml").read_text())[0]["scrape_configs"][0]["static_configs"]
    assert {job["labels"]["role"] for job in scraped} == set(ROLES)
    for job in scraped:
        role, port = job["targets"][0].split(":")
        assert int(port) == (kubernetes.HTTP_PORT if role == "web" else kubernetes.HEALTH_PORT)


def test_the_units_are_sound(tmp_path: Path) -> None:
    """systemd reads them; only the program and the user are another's."""
    verify = program("systemd-analyze", "systemd")
    target = (OPS / "systemd" / "davy.target").read_text()
    assert re.findall(r"davy@(\w+)", target) == list(ROLES)
    for file in (OPS / "systemd").iterdir():
        text = file.read_text().replace("/opt/davy/bin/davy", "/bin/true")
        (tmp_path / file.name).write_text(text)
    done = subprocess.run(
        [verify, "verify", "--man=no", str(tmp_path / "davy@ingest.service"), str(tmp_path / "davy.target")],
        capture_output=True, text=True, check=False, env=os.environ | {"SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )  # fmt: skip
    assert [line for line in done.stderr.splitlines() if "davy" in line] == []
    assert done.returncode == 0, done.stderr


def go_tool(name: str) -> str:
    """A program from the Go module proxy, built once."""
    folder = CACHE / "go"
    with locked(f"go-{name}"):
        if not (folder / "bin" / name).exists():
            go = program("go", "golang-go")
            environment = os.environ | {"GOPATH": str(folder), "GOBIN": str(folder / "bin"), "GOFLAGS": "-modcacherw"}
            done = subprocess.run(
                [go, "install", TOOLS[name]], env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            shutil.rmtree(folder / "pkg", ignore_errors=True)
    return str(folder / "bin" / name)


def built(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_kustomize_and_helm_build_valid_manifests() -> None:
    kustomize, helm = go_tool("kustomize"), go_tool("helm")
    manifests = documents(built(kustomize, "build", str(OPS / "kustomize")))
    assert {manifest["metadata"].get("namespace", "davy") for manifest in manifests} == {"davy"}
    order = {role: i for i, role in enumerate(ROLES)}

    def place(manifest: dict[str, Any]) -> int:
        return order.get(manifest["metadata"].get("labels", {}).get("app.kubernetes.io/component", ""), -1)

    check(sorted(manifests, key=place))
    chart = str(OPS / "helm" / "davy")
    built(helm, "lint", "--strict", chart)
    rendered = built(
        helm, "template", "r", chart, "--kube-version", "1.34.0", "--set", "sinkStorage.storageClassName=fast"
    )
    assert "storageClassName: fast" in rendered
    check(sorted(documents(rendered), key=place))
