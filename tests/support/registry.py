"""A real schema registry: Apicurio from Maven Central, which speaks Confluent's protocol."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from streams.embedded import die_with_parent, free_port
from tests.support.system import CACHE, locked, program, until

VERSION = "3.0.9"
START_S = 120.0
STOP_S = 20.0


def jar() -> Path:
    """Its runner, fetched and unpacked once."""
    folder = CACHE / f"apicurio-{VERSION}"
    maven = program("mvn", "maven")
    with locked("apicurio"):
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            artifact = f"-Dartifact=io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"
            command = [maven, "-q", "-B", "dependency:copy", artifact, f"-DoutputDirectory={folder}"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.fail(f"Apicurio could not be fetched from Maven Central:\n{done.stdout[-2000:]}", pytrace=False)
            (archive,) = folder.glob("*.tar.gz")
            with tarfile.open(archive) as file:
                file.extractall(folder, filter="data")
            archive.unlink()
            (folder / "complete").touch()
    (found,) = folder.glob("*-runner.jar")
    return found


class SchemaRegistryServer:
    """In memory, or with `keep` in its folder; `url` is what clients of Confluent's take."""

    def __init__(self, folder: Path, keep: bool = False) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/apis/ccompat/v7"
        self.log = folder / "registry.log"
        self.environment = {"QUARKUS_HTTP_HOST": "127.0.0.1", "QUARKUS_HTTP_PORT": str(self.port)}
        if keep:
            self.environment["APICURIO_DATASOURCE_URL"] = f"jdbc:h2:file:{folder / 'schemas'}"
        self._java = program("java", "openjdk-17-jre-headless")
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """What runs in the foreground, with `environment`."""
        options = ["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        return [self._java, *options, "-jar", str(jar())]

    def start(self) -> None:
        """Start and wait until it answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, env=os.environ | self.environment,
                preexec_fn=die_with_parent,  # noqa: PLW1509
            )  # fmt: skip
        self.wait()

    def wait(self) -> None:
        """Until it answers."""

        def answers() -> bool:
            if self._process is not None and self._process.poll() is not None:
                pytest.fail(f"the registry ended: {self.log.read_text()[-2000:]}", pytrace=False)
            try:
                with urlopen(f"{self.url}/subjects", timeout=1) as answer:
                    return answer.status == 200
            except (URLError, OSError):
                return False

        until(answers, START_S, f"the registry answered; {self.log} says why")

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
