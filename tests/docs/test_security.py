"""docs/security.md: each threat names a test that is there, or says that it is open."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def threats() -> str:
    """The part of the document that lists them."""
    return (ROOT / "docs" / "security.md").read_text("utf-8").partition("## Threats")[2].partition("\n## ")[0]


def test_every_threat_has_a_test_or_says_that_it_is_open() -> None:
    rows = re.findall(r"^\| .* \| .* \| (.*) \|$", threats(), re.MULTILINE)
    proofs = [proof for proof in rows if proof not in ("test", ":---")]
    assert len(proofs) > 10
    missing: list[str] = []
    for proof in proofs:
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", proof)
        missing += [f"{file}::{name}" for file, name in named if f"def {name}(" not in (ROOT / file).read_text("utf-8")]
        if not named and proof != "open":
            missing.append(proof)
    assert missing == []
