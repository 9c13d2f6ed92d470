"""A release: reproducible, with a bill of materials that is CycloneDX, and signed provenance that shows every change."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from deploy.ops import release
from schemas.signature import Signer, Signing
from tests.support.signing import key_pair

PRIVATE, PUBLIC = key_pair()


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is committed, in another place."""
    path = tmp_path_factory.mktemp("release") / "clone"
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", str(release.HOME), str(path)], check=True)
    return path


@pytest.fixture(scope="module")
def made(clone: Path) -> Path:
    signer = Signer.of(Signing.model_validate({"key_id": "release", "private_key": PRIVATE}))
    assert signer is not None
    release.release(clone.parent / "dist", signer, clone)
    return clone.parent / "dist"


@pytest.fixture
def public(tmp_path: Path) -> Path:
    path = tmp_path / "public.pem"
    path.write_text(PUBLIC)
    return path


def test_its_files_are_as_signed_also_for_who_knows_only_the_standards(
    made: Path, public: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert release.main(["--verify", str(made), "--public", str(public)]) == 0
    told = capsys.readouterr().out
    for ending in (".whl", ".tar.gz", ".cdx.json"):
        assert re.search(rf"{re.escape(ending)}: as signed", told)
    (path,) = made.glob("*.intoto.jsonl")
    envelope = json.loads(path.read_text())
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    payload = base64.b64decode(envelope["payload"])
    key = load_pem_public_key(PUBLIC.encode())
    assert isinstance(key, Ed25519PublicKey)
    kind = envelope["payloadType"].encode()
    signature = base64.b64decode(envelope["signatures"][0]["sig"])
    key.verify(signature, b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload))
    with pytest.raises(InvalidSignature):
        key.verify(signature, payload)
    statement = json.loads(payload)
    assert (statement["_type"], statement["predicateType"]) == (
        "https://in-toto.io/Statement/v1", "https://slsa.dev/provenance/v1",
    )  # fmt: skip
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=made.parent / "clone", capture_output=True, text=True, check=True
    )
    source = statement["predicate"]["buildDefinition"]["resolvedDependencies"][0]
    assert source["digest"] == {"gitCommit": commit.stdout.strip()}


def change(name: str) -> Callable[[Path], object]:
    return lambda folder: next(folder.glob(name)).open("ab").write(b"x")


@pytest.mark.parametrize(("spoil", "said"), [
    (change("*.whl"), "was changed"),
    (change("*.cdx.json"), "was changed"),
    (lambda folder: (folder / "more.whl").write_bytes(b""), "other files than its provenance: more.whl"),
    (lambda folder: next(folder.glob("*.tar.gz")).unlink(), "other files"),
    (lambda folder: next(folder.glob("*.intoto.jsonl")).unlink(), "has no provenance"),
    (lambda folder: next(folder.glob("*.intoto.jsonl")).write_text("[]"), "is no DSSE envelope"),
])  # fmt: skip
def test_any_change_shows(
    made: Path,
    public: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path], object],
    said: str,
) -> None:
    folder = tmp_path / "dist"
    shutil.copytree(made, folder)
    spoil(folder)
    assert release.main(["--verify", str(folder), "--public", str(public)]) == 2
    assert said in capsys.readouterr().err


def test_another_key_is_not_believed(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.pem"
    other.write_text(key_pair()[1])
    assert release.main(["--verify", str(made), "--public", str(other)]) == 2
    assert "not of any trusted key" in capsys.readouterr().err


def test_the_bill_names_every_pinned_package_with_its_hashes_and_whether_it_is_needed_to_run(
    made: Path, clone: Path
) -> None:
    text = (made / release.BILL).read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    components = {(item["name"], item.get("version")): item for item in json.loads(text)["components"]}
    pinned = re.findall(r"^([a-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\\]+)", (clone / "requirements.lock").read_text(), re.M)
    assert {(name, version) for name, version in pinned} <= set(components)
    by_name = {name: item for (name, _), item in components.items()}
    scopes = {name: by_name[name]["scope"] for name in ("fastapi", "starlette", "pytest", "sphinx")}
    assert scopes == {"fastapi": "required", "starlette": "required", "pytest": "excluded", "sphinx": "excluded"}
    assert by_name["fastapi"]["externalReferences"][0]["hashes"]


def test_what_is_not_committed_is_not_released(clone: Path, tmp_path: Path) -> None:
    signer = Signer.of(Signing.model_validate({"key_id": "release", "private_key": PRIVATE}))
    assert signer is not None
    extra = clone / "extra.py"
    extra.write_text("")
    try:
        with pytest.raises(release.UserError, match="not committed"):
            release.release(tmp_path / "out", signer, clone)
    finally:
        extra.unlink()
