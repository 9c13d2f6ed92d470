"""Flags as people write them, and as flagd's evaluators read them."""

from __future__ import annotations

import pytest

from schemas.flag import EXAMPLE, Flag, FlagChange, load_flag
from schemas.located import Errors

BASE = "key: f\nvariants: {a: 1, b: 2}\ndefault: a\n"


def test_overrides_come_before_the_split_and_the_split_before_the_default() -> None:
    flag = load_flag(EXAMPLE).flagd()
    condition, variant, rest = flag["targeting"]["if"]
    assert (condition, variant) == ({"in": [{"var": "segment"}, ["eu", "us"]]}, "on")
    assert rest == {"fractional": [{"cat": ["recommendations", {"var": "targetingKey"}]}, ["on", 1000], ["off", 9000]]}
    both = load_flag(BASE + "overrides: [{when: {segment: [eu], shard: [s1, s2]}, variant: b}]").flagd()
    assert both["targeting"]["if"] == [
        {"and": [{"in": [{"var": "segment"}, ["eu"]]}, {"in": [{"var": "shard"}, ["s1", "s2"]]}]}, "b", "a"
    ]  # fmt: skip
    assert "targeting" not in load_flag(BASE).flagd()
    assert load_flag(BASE + "enabled: false").flagd()["state"] == "DISABLED"


@pytest.mark.parametrize(("variants", "values"), [
    ("{on: true, off: false}", {"on": True, "off": False}), ("{a: 1, b: -2}", {"a": 1, "b": -2}),
    ("{a: 1, b: 2.5}", {"a": 1.0, "b": 2.5}), ("{a: 1, b: two}", {"a": "1", "b": "two"}),
    ("{a: true, b: 1}", {"a": "true", "b": "1"}),
])  # fmt: skip
def test_values_are_of_one_type(variants: str, values: dict[str, object]) -> None:
    first = next(iter(values))
    made = load_flag(f"key: f\nvariants: {variants}\ndefault: {first}").values
    assert made == values
    assert {type(value) for value in made.values()} == {type(value) for value in values.values()}


@pytest.mark.parametrize(("text", "sentence"), [
    ("", "there are 0 flags in here"), (f"{BASE}---\n{BASE}", "there are 2 flags in here"), ("[", "this is not YAML"),
    (BASE.replace("default: a", "default: c"), "default: there is no variant 'c': say one of a, b"),
    (BASE + "split: {a: 10%, b: 80%}", "the shares add up to 90.0000%, not to 100%"),
    (BASE + "split: {c: 100%}", "split: there is no variant 'c'"),
    (BASE + "overrides: [{when: {segment: [eu]}, variant: c}]", "overrides[0]: there is no variant 'c'"),
    (BASE + "overrides: [{when: {}, variant: a}]", "when"), (BASE + "weights: {a: 1}", "unknown field 'weights'"),
    (BASE.replace("key: f", "key: a/b"), "key"),
])  # fmt: skip
def test_what_is_wrong_is_told(text: str, sentence: str) -> None:
    with pytest.raises(Errors) as raised:
        load_flag(text)
    assert sentence in str(raised.value)


def test_a_change_comes_back_from_its_bytes() -> None:
    for document in (EXAMPLE, None):
        change = FlagChange("recommendations", 5, "ann", "why not", document)
        assert FlagChange.decode(change.encode()) == change
    assert isinstance(load_flag(EXAMPLE), Flag)
