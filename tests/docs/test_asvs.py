"""docs/asvs.md: every requirement of levels 1 and 2 once, with a test that is there, or why there is none."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
REQUIREMENTS = [line.split()[0] for line in (Path(__file__).parent / "asvs-5.0.0.txt").read_text().splitlines()]
ROW = re.compile(r"^\| (V[^|]+) \| ([^|]+) \| (.+) \|$", re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def document() -> str:
    return (ROOT / "docs" / "asvs.md").read_text("utf-8")


def expanded(text: str) -> list[str]:
    """`V1.1.1, V1.2.1 to V1.2.3` as single requirements."""
    found: list[str] = []
    for part in text.split(", "):
        first, _, last = part.partition(" to ")
        begin = REQUIREMENTS.index(first)
        found += REQUIREMENTS[begin : REQUIREMENTS.index(last or first) + 1]
    return found


def test_every_requirement_stands_there_once() -> None:
    told = Counter(item for row in ROW.findall(document()) for item in expanded(row[0]))
    assert [item for item in REQUIREMENTS if told[item] != 1] == []


def test_every_test_that_is_named_is_there_and_whatever_has_none_says_why() -> None:
    missing: list[str] = []
    for requirement, how, proof in ROW.findall(document()):
        tests = TEST.findall(proof)
        missing += [f"{file}::{name}" for file, name in tests if f"def {name}(" not in (ROOT / file).read_text("utf-8")]
        reason = proof.partition("not applicable: ")[2]
        if not tests and len(reason) < 5 and not (proof == "open" and len(how) > 20):
            missing.append(requirement)
    assert missing == []


def test_the_counts_are_those_of_the_table() -> None:
    rows = [(len(expanded(row[0])), row[2]) for row in ROW.findall(document())]
    tested = sum(count for count, proof in rows if TEST.search(proof))
    others = sum(count for count, proof in rows if proof.startswith("not applicable: "))
    unproved = sum(count for count, proof in rows if proof == "open")
    assert tested + others + unproved == len(REQUIREMENTS)
    assert f"{tested} have a test" in document()
    assert f"{others} do not apply" in document()
    assert f"`open`: {unproved}" in document()
