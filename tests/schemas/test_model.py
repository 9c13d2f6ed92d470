# ruff: noqa: E501  # tables of cases read better with one case a line
from __future__ import annotations

from typing import Literal

import pytest
from pydantic import Field

from schemas.located import read
from schemas.model import Finite, Identifier, InnerShare, Model, Text, field_names, suggestion, validated


class Inner(Model):
    size: int = Field(default=1, alias="how_big", ge=1, examples=["7"])


class Outer(Model):
    name: Text
    inner: Inner = Inner()
    items: tuple[Inner, ...] = Field(default=(), max_length=2)
    table: dict[Identifier, Inner] = Field(default={})
    maybe: Inner | None = None
    ratio: Finite = 1.0
    share: InnerShare = 0.5
    flag: bool = False
    mode: Literal["on", "off"] = "on"


@pytest.mark.parametrize(
    ("text", "findings"),
    [
        ("name: a", []),
        ("name:", ["1:1: name: must not be empty"]),
        ("name: ''", ["1:7: name: must be one line of text with 1 to 1000 characters"]),
        ("name: [a]", ["1:7: name: must be text"]),
        ("name: \"a\\tb\\nc\"", ["1:7: name: must be one line of text with 1 to 1000 characters"]),
        ("x: 1", ["1:1: name is missing: say name: ...", "1:1: unknown field 'x': say one of name, inner, items, table, maybe, ratio, share, flag, mode"]),
        ("name: a\ninner: {size: 1}", ["2:9: unknown field 'size': say one of how_big"]),
        ("name: a\nmaybe: {how_bgi: 1}", ["2:9: unknown field 'how_bgi': did you mean how_big?"]),
        ("name: a\ninner: {how_big: 0}", ["2:18: how_big: '0' must be greater than or equal to 1, like 7"]),
        ("name: a\ninner: {how_big: 1.5}", ["2:18: how_big: '1.5' is not a whole number, like 7"]),
        ("name: a\nitems: [{}, {how_big: x}]", ["2:23: how_big: 'x' is not a whole number, like 7"]),
        ("name: a\nitems: [{}, {}, {}]", ["2:8: items: has 3 entries: at most 2 are taken"]),
        ("name: a\nitems: {}", ["2:8: items: must be a list, not a mapping"]),
        ("name: a\ntable: {b: {how_big: x}}", ["2:22: how_big: 'x' is not a whole number, like 7"]),
        ("name: a\ntable: {b: 1}", ["2:12: b: must be a mapping, not '1'"]),
        ("name: a\nratio: inf", ["2:8: ratio: 'inf' must be a finite number"]),
        ("name: a\nratio: much", ["2:8: ratio: 'much' is not a number"]),
        ("name: a\nshare: 100%", ["2:8: share: '100%' must be above 0% and below 100%"]),
        ("name: a\nflag: perhaps", ["2:7: flag: 'perhaps' is neither true nor false"]),
        ("name: a\nmode: of", ["2:7: mode: 'of' is unknown: did you mean off?"]),
        ("name: a\nmode: " + "x" * 50, [f"2:7: mode: '{'x' * 37}...' is unknown: say one of on, off"]),
    ],
)  # fmt: skip
def test_messages(text: str, findings: list[str]) -> None:
    documents, _ = read(text, "x.yaml")
    model, found = validated(Outer, documents[0])
    assert sorted(map(str, found)) == sorted(f"x.yaml:{finding}" for finding in findings)
    assert (model is None) == bool(findings)


def test_an_empty_field_has_its_default() -> None:
    documents, _ = read("name: a\ninner:\nratio: ~\nitems:\n", "x.yaml")
    assert validated(Outer, documents[0])[0] == Outer(name="a")


def test_names_are_those_that_are_written() -> None:
    assert field_names(Inner) == {"how_big"}
    assert suggestion("how_bog", field_names(Inner)) == "did you mean how_big?"
