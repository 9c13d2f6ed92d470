"""A release of Davy: wheel, sdist, what is inside (CycloneDX) and where it comes from (SLSA provenance, signed).

    python -m deploy.ops.release --key release.pem --key-id 2026-11 --out dist
    python -m deploy.ops.release --verify dist --public 2026-11.pub.pem

The same commit gives the same bytes of wheel, sdist and bill of materials wherever it is built (times are the commit's). The
provenance is an in-toto statement in a DSSE envelope, signed with Ed25519 as verdicts are; its subjects are the other files.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from schemas import __version__
from schemas.errors import UserError
from schemas.signature import Keys, Signer, Signing

HOME = Path(__file__).parents[2]
LOCK, PROJECT = "requirements.lock", "pyproject.toml"
STATEMENT = "application/vnd.in-toto+json"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "https://davy.example/build/hatchling/v1"
PROVENANCE = f"davy-{__version__}.intoto.jsonl"
BILL = f"davy-{__version__}.cdx.json"
BYTES_MAX = 10_000_000


def release(out: Path, signer: Signer, home: Path = HOME) -> list[Path]:
    """Build all of it from the commit that is checked out; raises `UserError` where something is not committed."""
    if _git(home, "status", "--porcelain"):
        raise UserError("the work tree has changes that are not committed: a release is of a commit")
    commit, committed = _git(home, "rev-parse", "HEAD"), _git(home, "log", "-1", "--format=%ct")
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise UserError(f"{out} is not empty: say another --out")
    begun = datetime.now(UTC)
    environment = os.environ | {"SOURCE_DATE_EPOCH": committed}
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(out.resolve())]
    subprocess.run(build, cwd=home, check=True, capture_output=True, env=environment)
    (out / BILL).write_text(bill(home, environment), "utf-8")
    made = sorted(out.iterdir())
    statement = json.dumps(provenance(made, home, commit, begun), sort_keys=True).encode()
    (out / PROVENANCE).write_bytes(signer.envelope(STATEMENT, statement) + b"\n")
    return [*made, out / PROVENANCE]


def bill(home: Path, environment: Mapping[str, str]) -> str:
    """The bill of materials of the lock; what only developers need has the scope `excluded`."""
    command = [
        sys.executable, "-m", "cyclonedx_py", "requirements", LOCK, "--pyproject", PROJECT, "--mc-type", "application",
        "--output-reproducible", "--spec-version", "1.6",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=home, check=True, capture_output=True, text=True, env=dict(environment))
    document: dict[str, Any] = json.loads(done.stdout)
    document["metadata"]["component"]["version"] = __version__
    running = needed("davy")
    for component in document["components"]:
        component["scope"] = "required" if canonicalize_name(component["name"]) in running else "excluded"
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def needed(distribution: str) -> set[str]:
    """Names of all distributions that one needs to run, as they are installed here."""
    found: set[str] = set()
    todo: list[tuple[str, frozenset[str]]] = [(distribution, frozenset())]
    seen = set(todo)
    while todo:
        name, extras = todo.pop()
        try:
            requires = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # of another platform
            continue
        for line in requires:
            wanted = Requirement(line)
            if wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in extras | {""}):
                item = (str(canonicalize_name(wanted.name)), frozenset(wanted.extras))
                found.add(item[0])
                if item not in seen:
                    seen.add(item)
                    todo.append(item)
    return found


def provenance(made: list[Path], home: Path, commit: str, begun: datetime) -> dict[str, Any]:
    """The statement: these files were built from that commit, with what the lock pins."""
    dependencies = [{"uri": f"file:{name}", "digest": {"sha256": digest(home / name)}} for name in (LOCK, PROJECT)]
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": path.name, "digest": {"sha256": digest(path)}} for path in made],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"version": __version__, "commit": commit},
                "resolvedDependencies": [{"uri": "git:davy", "digest": {"gitCommit": commit}}, *dependencies],
            },
            "runDetails": {
                "builder": {"id": f"{BUILD_TYPE}/python-{sys.version_info.major}.{sys.version_info.minor}"},
                "metadata": {"startedOn": _second(begun), "finishedOn": _second(datetime.now(UTC))},
            },
        },
    }


def verify(folder: Path, keys: Keys) -> list[str]:
    """The names of the files that are as the signed provenance says; raises `UserError` with the first that is not."""
    (path,) = folder.glob("*.intoto.jsonl") if len(list(folder.glob("*.intoto.jsonl"))) == 1 else (None,)
    if path is None:
        raise UserError(f"{folder} has no provenance (one file NAME.intoto.jsonl)")
    if path.stat().st_size > BYTES_MAX:
        raise UserError(f"{path} is larger than {BYTES_MAX:,} bytes: it is no provenance")
    envelope = path.read_bytes()
    try:
        payload = base64.b64decode(json.loads(envelope)["payload"], validate=True)
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error):
        raise UserError(f"{path} is no DSSE envelope") from None
    if (fault := keys.fault_of(STATEMENT, payload, envelope)) is not None:
        raise UserError(f"{path} is not to be believed: {fault}")
    said = {item["name"]: item["digest"]["sha256"] for item in json.loads(payload)["subject"]}
    there = {file.name for file in folder.iterdir()} - {path.name}
    if there != set(said):
        raise UserError(f"{folder} has other files than its provenance: {', '.join(sorted(there ^ set(said)))}")
    for name, wanted in said.items():
        if digest(folder / name) != wanted:
            raise UserError(f"{folder / name} was changed: its SHA-256 is not that of the provenance")
    return sorted(said)


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _git(home: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=home, check=True, capture_output=True, text=True).stdout.strip()


def _second(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def main(arguments: list[str] | None = None) -> int:
    """The command; the exit code is 2 where it refuses."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.ops.release", description="Make or verify a release of Davy."
    )
    parser.add_argument("--key", type=Path, help="Ed25519 private key, PEM, to sign the provenance with")
    parser.add_argument("--key-id", default="release")
    parser.add_argument("--out", type=Path, default=Path("dist"))
    parser.add_argument("--verify", type=Path, metavar="FOLDER", help="verify this release instead of making one")
    parser.add_argument("--public", type=Path, help="Ed25519 public key, PEM, that must have signed it")
    options = parser.parse_args(arguments)
    try:
        if options.verify is not None:
            if options.public is None:
                raise UserError("say --public KEY: the key that must have signed")
            signing = Signing.model_validate({"public_keys": {options.key_id: options.public.read_text("utf-8")}})
            for name in verify(options.verify, Keys.of(signing)):
                print(f"{name}: as signed")
            return 0
        if options.key is None:
            raise UserError("say --key KEY: make one with openssl genpkey -algorithm ed25519")
        signing = Signing.model_validate({"key_id": options.key_id, "private_key": options.key.read_text("utf-8")})
        signer = Signer.of(signing)
        assert signer is not None
        for path in release(options.out, signer):
            print(path)
    except (UserError, OSError, ValueError) as error:
        print(f"release: {error}", file=sys.stderr)
        return UserError.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
