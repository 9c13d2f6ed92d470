"""The wheel holds every asset, and nothing that is not ours."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from functools import partial
from pathlib import Path
from zipfile import ZipFile

import pytest

from streams import scenario as scenarios

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


def built(folder: Path, out: Path) -> dict[str, bytes]:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(out)], cwd=folder, check=True, capture_output=True
    )
    return {file.name: file.read_bytes() for file in out.iterdir()}


def test_the_same_commit_gives_the_same_bytes_anywhere_and_also_from_its_sdist(tmp_path: Path) -> None:
    made: list[dict[str, bytes]] = []
    for name in ("one", "another-place"):
        clone = tmp_path / name / "clone"
        subprocess.run(["git", "clone", "-q", "--no-hardlinks", str(HOME), str(clone)], check=True)
        for file in clone.rglob("*.py"):
            os.utime(file, (len(name) * 1e8, len(name) * 1e8))
        made.append(built(clone, tmp_path / name / "dist"))
    assert made[0] == made[1]
    (sdist,) = (tmp_path / "one" / "dist").glob("*.tar.gz")
    with tarfile.open(sdist) as file:
        file.extractall(tmp_path / "sdist", filter="data")
    (unpacked,) = (tmp_path / "sdist").iterdir()
    assert (
        built(unpacked, tmp_path / "again").items() >= {n: c for n, c in made[0].items() if n.endswith(".whl")}.items()
    )


def interpreter(version: str) -> str:
    """One of pyenv's where there is, else uv finds or fetches it."""
    found = sorted(Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python"))
    return str(found[-1]) if found else version


@pytest.mark.full
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_the_wheel_alone_judges_events_on_every_python(python: str, tmp_path: Path) -> None:
    (wheel,) = (name for name in built(HOME, tmp_path / "dist") if name.endswith(".whl"))
    run = partial(subprocess.run, cwd=tmp_path, check=True, capture_output=True, text=True)
    run(["uv", "venv", "--python", interpreter(python), "env"])
    run(["uv", "pip", "install", "--python", "env/bin/python", f"dist/{wheel}", "-c", str(HOME / "requirements.lock")])
    davy = str(tmp_path / "env" / "bin" / "davy")
    run([davy, "simulate", "errors", "--events", "100000", "--out", "events.avro"])
    (tmp_path / "spec.yaml").write_text(scenarios.load("errors").spec.source)
    judged = run([davy, "replay", "spec.yaml", "events.avro"], check=False)
    assert (judged.returncode, "ROLLBACK" in judged.stdout) == (1, True), judged.stderr
