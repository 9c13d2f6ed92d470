"""Rules, Alertmanager and dashboards against the real tools, and against what a running Davy exposes."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from ruamel.yaml import YAML

from davy.commands.run import ROLES
from streams.embedded import free_port
from tests.support.system import program, until

OPS = Path(__file__).parents[3] / "deploy" / "ops"
ALERTS = OPS / "prometheus" / "alerts.yml"
RUNBOOK = Path(__file__).parents[3] / "docs" / "runbook.md"
METRIC = re.compile(r"\b(?:davy|process|python)_[a-z0-9_]+\b")
START_S = 60


def run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[set[str]]:
    """Names of all series that the five roles of a real run expose."""
    folder = tmp_path_factory.mktemp("run")
    kafka, http = free_port(), free_port()
    (folder / "davy.yaml").write_text(
        f"kafka: {{bootstrap.servers: '127.0.0.1:{kafka}'}}\nembedded: true\n"
        f"http: {{port: {http}}}\ndata_dir: {folder / 'data'}\n"
    )
    command = [sys.executable, "-m", "davy", "run", "--config", str(folder / "davy.yaml")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    said: dict[str, str] = {}

    def answered() -> bool:
        places = {"web": f"127.0.0.1:{http}"}
        for file in (folder / "data" / "scrape").glob("*.json"):
            (entry,) = json.loads(file.read_text())
            (places[entry["labels"]["role"]],) = entry["targets"]
        for role, place in places.items():
            try:
                with urlopen(f"http://{place}/metrics", timeout=2) as answer:
                    said[role] = answer.read().decode()
            except (URLError, OSError):
                return False
        return set(ROLES) <= said.keys()

    try:
        until(answered, START_S, f"all roles answered; {folder / 'log'} says why")
        yield {
            name + ("_total" if kind == "counter" and not name.endswith("_total") else "")
            for text in said.values()
            for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
        }
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@pytest.mark.parametrize("file", [ALERTS, *sorted((OPS / "grafana").glob("*.json"))], ids=lambda file: file.name)
def test_every_metric_exists(file: Path, exposed: set[str]) -> None:
    text = file.read_text()
    if file.suffix == ".json":
        text = "\n".join(target.get("expr", "") for panel in json.loads(text)["panels"] for target in panel["targets"])
    used = set(METRIC.findall(text))
    assert used or file.name == "budgets.json"
    assert not used - exposed


def test_the_rules_are_clean_and_fire_on_what_they_are_for(tmp_path: Path) -> None:
    promtool = program("promtool", "prometheus")
    assert "19 rules found" in run(promtool, "check", "rules", str(ALERTS))
    run(promtool, "check", "config", str(OPS / "prometheus" / "prometheus.yml"))
    for file in (ALERTS, Path(__file__).with_name("alerts_test.yml")):
        shutil.copy(file, tmp_path)
    run(promtool, "test", "rules", "alerts_test.yml", cwd=tmp_path)


def test_every_alert_has_a_test_and_its_page_in_the_runbook() -> None:
    rules = [rule for group in YAML(typ="safe").load(ALERTS)["groups"] for rule in group["rules"]]
    tested = Path(__file__).with_name("alerts_test.yml").read_text()
    headings = re.findall(r"^## (\w+)$", RUNBOOK.read_text(), re.MULTILINE)
    assert headings == [rule["alert"] for rule in rules]
    for rule in rules:
        assert f'alertname="{rule["alert"]}"' in tested
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"


def test_alertmanager_takes_its_file_and_routes_pages_to_the_pager() -> None:
    amtool = program("amtool", "prometheus-alertmanager")
    file = str(OPS / "alertmanager" / "alertmanager.yml")
    assert "SUCCESS" in run(amtool, "check-config", file)
    for severity, receiver in (("page", "pager"), ("ticket", "tickets")):
        told = run(amtool, "config", "routes", "test", f"--config.file={file}", f"severity={severity}")
        assert told.strip() == receiver
