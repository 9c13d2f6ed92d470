"""Java and Maven: the project in `bench/peers/windows_java`, built once into the cache."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

from bench.peers.peer import CACHE, HOME
from bench.peers.timed import Failed

PROJECT = HOME / "windows_java"
BUILD_S = 600.0


@cache
def built() -> Path:
    """Folder with `windows-1.jar` and what it needs in `lib` and `flink`; raises `Failed`."""
    from tests.support.system import program

    folder = CACHE / "java"
    folder.mkdir(parents=True, exist_ok=True)
    command = [program("mvn", "maven"), "-q", "-B", "-f", str(PROJECT), f"-Dtarget={folder}", "package"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=BUILD_S)
    if done.returncode:
        raise Failed(f"Maven could not build {PROJECT}:\n{done.stdout[-2000:]}")
    return folder


@cache
def java() -> str:
    """Path of a Java 17 machine with a compiler."""
    from tests.support.system import program

    program("javac", "openjdk-17-jdk-headless")
    return program("java", "openjdk-17-jre-headless")


def versions(folder: Path) -> dict[str, str]:
    """Versions of the jars in a folder by artifact."""
    named = (re.fullmatch(r"(.+?)-(\d.*)", jar.stem) for jar in folder.glob("*.jar"))
    return {found[1]: found[2] for found in named if found}
