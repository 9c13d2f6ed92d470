# ruff: noqa: E501  # tables of cases read better with one case a line
from __future__ import annotations

from typing import Any

import pytest

from schemas.located import read
from schemas.spec import SpecErrors, load_specs
from schemas.spec_rules import RULES

SPEC = """\
id: e
service: s
environment: p
variants:
  control: {version: 1}
  canary: {version: 2}
slis:
- {name: x, type: error_ratio}
steps:
- {weight: 10%, duration: 1m}
- {weight: 50%, duration: 1m}
"""
TWO = "  canary: {version: 2}\n  other: {version: 3}\n"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  control: {version: 1}\n", "", "5:3: control is missing: say control: {version: ...}, or mode: absolute for a first deploy"),
        ("  canary: {version: 2}\n", "", "5:3: there is no candidate beside control: say for example canary: {version: 2.4.0}"),
        ("id: e", "id: e\nrollback: {to: contrl}", "2:16: to: there is no variant 'contrl': say one of control, canary"),
        ("weight: 50%", "weight: 5%", "11:12: weight: 5% is less than the 10% before it: say at least 10%"),
        ("weight: 50%", "weight: 0.05", "11:12: weight: 0.05 is less than the 10% before it: say at least 10%"),
        ("  canary: {version: 2}\n", TWO + "  third: {version: 4}\n", "13:12: weight: 3 candidates at 50% are over 100%: say at most 33.33%"),
        ("steps:", "- {name: x, type: throughput}\nsteps:", "9:10: name: there is another SLI named 'x': say another name"),
        ("id: e", "id: e\npolicy: {min_duration: 2h, max_duration: 1h}", "2:24: min_duration: min_duration 2h is longer than max_duration 1h"),
        ("id: e", "id: e\npolicy: {max_duration: 5m}", "2:24: max_duration: min_duration 10m is longer than max_duration 5m"),
        ("id: e", "id: e\npolicy: {min_duration: 2d}", "2:24: min_duration: min_duration 2d is longer than max_duration 24h"),
        ("id: e", "id: e\nmode: absolute\nstratify: segment", "3:11: stratify: without a control there is nothing to compare: leave it out, or mode: absolute"),
        ("id: e", "id: e\nstratify: region", "2:11: stratify: 'region' is unknown: say one of segment, endpoint"),
    ],
)  # fmt: skip
def test_rules(old: str, new: str, message: str) -> None:
    assert old in SPEC
    with pytest.raises(SpecErrors) as caught:
        load_specs(SPEC.replace(old, new), path="x.yaml")
    assert str(caught.value) == f"x.yaml:{message}"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  canary: {version: 2}\n", TWO),
        ("weight: 50%", "weight: 10%"),
        ("weight: 50%", "weight: 100%"),
        ("id: e", "id: e\nstratify: endpoint"),
        ("  control: {version: 1}\n", "mode: absolute\n"),
        ("id: e", "id: e\nrollback: {to: canary}"),
        ("id: e", "id: e\npolicy: {min_duration: 5m, max_duration: 5m}"),
    ],
)
def test_what_is_allowed(old: str, new: str) -> None:
    text = SPEC.replace(old, new)
    if "absolute" in new:
        text = "mode: absolute\n" + SPEC.replace(old, "")
    assert load_specs(text)


def test_each_fall_is_told_against_the_highest_before_it() -> None:
    text = SPEC + "- {weight: 20%, duration: 1m}\n- {weight: 30%, duration: 1m}\n"
    with pytest.raises(SpecErrors) as caught:
        load_specs(text, path="x.yaml")
    assert [str(finding) for finding in caught.value.findings] == [
        "x.yaml:12:12: weight: 20% is less than the 50% before it: say at least 50%",
        "x.yaml:13:12: weight: 30% is less than the 50% before it: say at least 50%",
    ]


def test_too_many_candidates() -> None:
    arms = "".join(f"  c{i}: {{version: {i}}}\n" for i in range(33))
    text = SPEC.replace("  canary: {version: 2}\n", arms).replace("10%", "1%").replace("50%", "2%")
    with pytest.raises(SpecErrors, match="5:3: 33 candidates are too many: say at most 32"):
        load_specs(text)


@pytest.mark.parametrize("text", ["variants: 1\nsteps: 2\nslis: 3\npolicy: 4\nrollback: 5\n", "variants: {}\nsteps: [1, {}]\nslis: [{}, 1]\n", "a: 1\n"])  # fmt: skip
def test_rules_pass_over_what_they_cannot_read(text: str) -> None:
    data: dict[str, Any] = read(text, "x")[0][0].data
    told = [loc for rule in RULES for loc, _ in rule(data)]
    assert told == ([("variants",)] * 2 if "{}" in text else [])
