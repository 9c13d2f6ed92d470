"""The wheel holds every asset, and nothing that is not ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

HOME = Path(__file__).parents[1]
PACKAGES = ("analyzers", "davy", "deploy", "schemas", "streams")


def test_every_tracked_file_of_the_packages_is_inside(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=HOME, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with ZipFile(wheel) as file:
        inside = {name for name in file.namelist() if ".dist-info/" not in name}
    listed = subprocess.run(["git", "ls-files", *PACKAGES], cwd=HOME, check=True, capture_output=True, text=True).stdout
    assert inside >= set(listed.splitlines())
    assert {name.partition("/")[0] for name in inside} == set(PACKAGES)
    for name in ("prometheus/alerts.yml", "alertmanager/alertmanager.yml", "compose.yaml", "helm/davy/Chart.yaml"):
        assert f"deploy/ops/{name}" in inside
