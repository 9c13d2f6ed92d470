"""Feature flags: what a person says of one, and how flagd's evaluators read it (flagd.dev, flag definitions 0.x).

A flag has variants with values; overrides by attributes of who asks (segment, shard, ...), the first that matches;
then a split by unit; else its default. Flags of experiments are not written by people: their weights are the rollout's.

>>> flag = load_flag(EXAMPLE)
>>> flag.flagd()["targeting"]["if"][1], flag.flagd()["defaultVariant"]
('on', 'off')
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, model_validator

from schemas.frozen import frozen
from schemas.located import Errors, Finding, read
from schemas.model import Identifier, Model, Share, Text, validated
from schemas.record import Record

SHARES = 10_000
VARIANTS_MAX = 50
OVERRIDES_MAX = 200
VALUES_MAX = 1_000
"""Of one attribute in one override."""
FLAGD_SCHEMA = "https://flagd.dev/schema/v0/flags.json"
BOOLEANS = {"true": True, "false": False}
INTEGER, NUMBER = re.compile(r"-?[0-9]{1,15}"), re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")
EXAMPLE = """\
key: recommendations
variants: {on: true, off: false}
default: off
overrides:
  - {when: {segment: [eu, us]}, variant: on}
split: {on: 10%, off: 90%}
"""

Value = bool | int | float | str


@frozen()
class FlagChange(Record):
    """One record of the flags topic, the newest of a key counts; `document` is the flag's YAML, None once it is gone."""

    SCHEMA: ClassVar[str] = "FlagChange"

    key: str
    time: int
    actor: str
    reason: str
    document: str | None


class Override(Model):
    """Who gets a variant whatever the split says: all attributes named must have one of their values."""

    when: dict[Text, tuple[Text, ...]] = Field(min_length=1, examples=["{segment: [eu]}"])
    variant: Text

    def condition(self) -> Any:
        """As JSON logic."""
        parts = [{"in": [{"var": name}, list(values)]} for name, values in self.when.items()]
        return parts[0] if len(parts) == 1 else {"and": parts}


class Flag(Model):
    """`enabled: false` switches it off: whoever asks gets the default of their own code."""

    key: Identifier = Field(examples=["recommendations"])
    description: str = ""
    enabled: bool = True
    variants: dict[Text, Text] = Field(min_length=1, max_length=VARIANTS_MAX, examples=["{on: true, off: false}"])
    default: Text = Field(examples=["off"])
    overrides: tuple[Override, ...] = Field(default=(), max_length=OVERRIDES_MAX)
    split: dict[Text, Share] = Field(default_factory=dict, examples=["{on: 10%, off: 90%}"])

    @model_validator(mode="after")
    def _known(self) -> Flag:
        named = [("default", self.default), *(("split", name) for name in self.split)]
        named += [(f"overrides[{number}]", one.variant) for number, one in enumerate(self.overrides)]
        for place, name in named:
            if name not in self.variants:
                raise ValueError(f"{place}: there is no variant {name!r}: say one of {', '.join(self.variants)}")
        if self.split and round(sum(self.split.values()) * SHARES) != SHARES:
            raise ValueError(f"split: the shares add up to {sum(self.split.values()):.4%}, not to 100%")
        if any(len(values) > VALUES_MAX for one in self.overrides for values in one.when.values()):
            raise ValueError(f"overrides: an attribute has more than {VALUES_MAX:,} values")
        return self

    @property
    def values(self) -> dict[str, Value]:
        """By variant, all of one type: true or false, numbers, else text."""
        given = list(self.variants.values())
        made: list[Value]
        if all(value in BOOLEANS for value in given):
            made = [BOOLEANS[value] for value in given]
        elif all(INTEGER.fullmatch(value) for value in given):
            made = [int(value) for value in given]
        elif all(NUMBER.fullmatch(value) for value in given):
            made = [float(value) for value in given]
        else:
            made = list(given)
        return dict(zip(self.variants, made, strict=True))

    def flagd(self) -> dict[str, Any]:
        """The flag as flagd's evaluators read it. The salt of the split is the key, for good."""
        flag: dict[str, Any] = {
            "state": "ENABLED" if self.enabled else "DISABLED", "variants": self.values, "defaultVariant": self.default,
        }  # fmt: skip
        rest: Any = self.default
        if self.split:
            shares = [[name, round(share * SHARES)] for name, share in self.split.items()]
            rest = {"fractional": [{"cat": [self.key, {"var": "targetingKey"}]}, *shares]}
        if self.overrides:
            chain = [part for one in self.overrides for part in (one.condition(), one.variant)]
            flag["targeting"] = {"if": [*chain, rest]}
        elif self.split:
            flag["targeting"] = rest
        return flag


def load_flag(text: str, path: str = "<text>") -> Flag:
    """One flag from YAML (or JSON); raises `Errors` with all that is wrong."""
    documents, findings = read(text, path)
    if findings:
        raise Errors(findings)
    if len(documents) != 1:
        raise Errors([Finding(path, 1, 1, f"there are {len(documents)} flags in here: say one, key: ...")])
    flag, findings = validated(Flag, documents[0])
    if flag is None:
        raise Errors(findings)
    return flag


def flags_document(flags: Mapping[str, Any]) -> dict[str, Any]:
    """A flagd file of flags by their keys."""
    return {"$schema": FLAGD_SCHEMA, "flags": dict(flags)}
