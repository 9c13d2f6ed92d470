"""Rules of a spec that look at several fields.

They see the data as written, so that they speak even where other fields are wrong; what they cannot read, its
own field complains about. Each gives the path of the value to change, and what would be right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from schemas.located import Loc, is_list, is_mapping
from schemas.units import parse_duration, parse_share

CONTROL = "control"
CANDIDATES_MAX = 32
MIN_DURATION = "10m"
MAX_DURATION = "24h"

T = TypeVar("T")
Problems = Iterator[tuple[Loc, str]]


def _variants(data: Mapping[str, Any]) -> Problems:
    variants = data.get("variants")
    if not is_mapping(variants):
        return
    names = list(variants)
    if CONTROL not in names and data.get("mode") != "absolute":
        yield (
            ("variants",),
            f"{CONTROL} is missing: say {CONTROL}: {{version: ...}}, or mode: absolute for a first deploy",
        )
    candidates = [name for name in names if name != CONTROL]
    if not candidates:
        yield (
            ("variants",),
            f"there is no candidate beside {CONTROL}: say for example canary: {{version: 2.4.0}}",
        )
    if len(candidates) > CANDIDATES_MAX:
        yield ("variants",), f"{len(candidates)} candidates are too many: say at most {CANDIDATES_MAX}"
    to = _get(data, "rollback", "to")
    if isinstance(to, str) and to not in names:
        yield ("rollback", "to"), f"to: there is no variant {to!r}: say one of {', '.join(names)}"


def _weights(data: Mapping[str, Any]) -> Problems:
    steps, variants = data.get("steps"), data.get("variants")
    candidates = len([name for name in variants if name != CONTROL]) if is_mapping(variants) else 1
    highest, written = 0.0, ""
    for index, step in enumerate(steps if is_list(steps) else []):
        text = _get(step, "weight")
        weight = _parsed(parse_share, text)
        if weight is None:
            continue
        loc: Loc = ("steps", index, "weight")
        if weight < highest:
            yield loc, f"weight: {text} is less than the {written} before it: say at least {written}"
        elif candidates > 1 and weight * candidates > 1 + 1e-9:
            most = int(10_000 / candidates) / 100
            yield loc, f"weight: {candidates} candidates at {text} are over 100%: say at most {most:g}%"
        if weight >= highest:
            highest, written = weight, text


def _names(data: Mapping[str, Any]) -> Problems:
    seen: set[str] = set()
    slis = data.get("slis")
    for index, sli in enumerate(slis if is_list(slis) else []):
        name = _get(sli, "name")
        if isinstance(name, str) and name in seen:
            yield ("slis", index, "name"), f"name: there is another SLI named {name!r}: say another name"
        seen.add(str(name))


def _durations(data: Mapping[str, Any]) -> Problems:
    least, most = (_get(data, "policy", name) for name in ("min_duration", "max_duration"))
    shortest, longest = least or MIN_DURATION, most or MAX_DURATION
    min_us, max_us = _parsed(parse_duration, shortest), _parsed(parse_duration, longest)
    if min_us is not None and max_us is not None and min_us > max_us > 0:
        name = "min_duration" if least is not None else "max_duration"
        yield ("policy", name), f"{name}: min_duration {shortest} is longer than max_duration {longest}"


def _strata(data: Mapping[str, Any]) -> Problems:
    if data.get("stratify") is not None and data.get("mode") == "absolute":
        yield ("stratify",), "stratify: without a control there is nothing to compare: leave it out, or mode: absolute"


RULES: tuple[Callable[[Mapping[str, Any]], Problems], ...] = (_variants, _weights, _names, _durations, _strata)


def _get(data: Any, *names: str) -> Any:
    for name in names:
        data = data.get(name) if is_mapping(data) else None
    return data


def _parsed(parse: Callable[[object], T], value: object) -> T | None:
    try:
        return parse(value)
    except ValueError:
        return None


def not_told_apart(stratify: str) -> str:
    """The sentence for a spec that compares within what davy.yaml's `dimensions` do not tell apart."""
    return (
        f"rows cannot be compared within each {stratify}, since cells do not tell them apart: add {stratify} to dimensions in "
        "davy.yaml, or take stratify out of the spec"
    )
