"""A draft: an experiment as far as another system's configuration tells it, and what of that could not be carried over."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.located import Errors, Located, is_list
from schemas.units import parse_duration

TOLERANCE = "10%"
"""Where the other system names none that a comparison with control can use."""
STARTER: tuple[Mapping[str, str], ...] = (
    {"name": "errors", "type": "error_ratio", "max_increase": "0.5pp"},
    {"name": "latency-p99", "type": "latency_quantile", "quantile": "0.99", "max_increase": TOLERANCE},
)
CONTROL_VERSION, CANARY_VERSION = "CONTROL-VERSION", "CANARY-VERSION"
_PLAIN = re.compile(r"[A-Za-z0-9][\w.%/+-]*")
_QUANTILE = re.compile(r"(?:\bp|quantile\()\s*(0?\.\d+|9\d(?:\.?\d+)?|50|75)", re.IGNORECASE)
_KINDS: tuple[tuple[str, Mapping[str, str]], ...] = (
    (r"mem(ory)?\b|heap|\brss\b", {"type": "resource_mean", "field": "memory_bytes"}),
    (r"cpu", {"type": "resource_mean", "field": "cpu_us"}),
    (r"error|success|fail|5xx|status", {"type": "error_ratio"}),
    (r"latenc|duration|time|\bp\d\d", {"type": "latency_quantile"}),
    (r"requests?\b|throughput|traffic|\brps\b|\bqps\b", {"type": "throughput"}),
)
"""By what a metric's name and query speak of; the first that fits."""


@dataclass(slots=True)
class Draft:
    """`steps` are weight in percent and duration; `notes` are sentences for the person who reads the draft."""

    id: str
    service: str
    environment: str
    origin: str
    control: str = CONTROL_VERSION
    canary: str = CANARY_VERSION
    slis: list[Mapping[str, str]] = field(default_factory=list[Mapping[str, str]])
    steps: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    policy: dict[str, str] = field(default_factory=dict[str, str])
    notes: list[str] = field(default_factory=list[str])

    def text(self) -> str:
        """The draft as a spec: YAML with its notes as comments."""
        slis = self.slis
        notes = list(self.notes)
        if not slis:
            slis = list(STARTER)
            notes.append("it compares nothing that events can tell: the two slis are a start")
        if self.canary == CANARY_VERSION or self.control == CONTROL_VERSION:
            notes.append("put in the versions, as your events tell them")
        lines = [f"# From {self.origin}. `davy lint` and `davy plan` say whether it can keep its promises."]
        lines += notes_of(notes)
        lines += [
            "apiVersion: davy/v1",
            "kind: Experiment",
            f"id: {_scalar(identifier(self.id))}",
            f"service: {_scalar(self.service)}",
            f"environment: {_scalar(self.environment)}",
            "variants:",
            f"  control: {{version: {_scalar(self.control)}}}",
            f"  canary: {{version: {_scalar(self.canary)}}}",
            "randomization: request",
            "slis:",
            *(f"  - {flow(sli)}" for sli in _named_once(slis)),
        ]
        if self.policy:
            lines.append(f"policy: {flow(self.policy)}")
        lines.append("steps:")
        lines += [f"  - {{weight: {weight:g}%, duration: {duration}}}" for weight, duration in self.steps]
        return "\n".join(lines) + "\n"


def notes_of(notes: Sequence[str]) -> list[str]:
    """As comments, each once."""
    return [f"# - {note}" for note in dict.fromkeys(notes)]


def guessed(name: str, query: str) -> dict[str, str] | None:
    """The SLI that a metric means, without tolerance; None where nothing of ours is like it."""
    for text in (name, query):
        words = re.sub(r"[_-]", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text))
        for pattern, kind in _KINDS:
            if re.search(pattern, words, re.IGNORECASE):
                found = {"name": identifier(name), **kind}
                if kind["type"] == "latency_quantile":
                    found["quantile"] = _quantile(f"{words} {query}")
                return found
    return None


def limit_of(sli_type: str) -> str:
    """Which way an SLI of this type is worse."""
    return "max_decrease" if sli_type == "throughput" else "max_increase"


def at(document: Located, *loc: str | int) -> Any:
    """What stands there (dict, list, str), or None."""
    found: Any = document.data
    for key in loc:
        try:
            found = found[key]
        except (KeyError, IndexError, TypeError):
            return None
    return found


def text_at(document: Located, *loc: str | int) -> str:
    """The text that stands there, or nothing."""
    found = at(document, *loc)
    return found if isinstance(found, str) else ""


def places(document: Located, *loc: str | int) -> Iterator[tuple[str | int, ...]]:
    """Of the entries of the list that stands there."""
    found = at(document, *loc)
    yield from ((*loc, i) for i in range(len(found) if is_list(found) else 0))


def number_at(document: Located, *loc: str | int) -> float | None:
    """The number that stands there; raises `Errors` with the place of anything else."""
    found = at(document, *loc)
    if found is None:
        return None
    try:
        return float(str(found))
    except ValueError:
        raise Errors([document.at(loc, f"{found!r} is not a number")]) from None


def duration_at(document: Located, *loc: str | int) -> str | None:
    """The duration there, in our units; a bare number is seconds. Raises `Errors` with the place of anything else."""
    text = text_at(document, *loc)
    if not text:
        return None
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return f"{text}s"
    parts = re.findall(r"\d+(?:\.\d+)?(?:h|ms|m|s)", text)
    if not parts or "".join(parts) != text:
        raise Errors([document.at(loc, f"{text!r} is not a duration such as 10m")])
    return text if len(parts) == 1 else f"{sum(map(seconds, parts)):g}s"


def seconds(duration: str) -> float:
    """Of a duration in our units."""
    return parse_duration(duration) / 1e6


def identifier(text: str) -> str:
    """As near to it as an identifier may be."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:128] or "imported"


def _quantile(text: str) -> str:
    found = _QUANTILE.search(text)
    if found is None:
        return "0.99"
    digits = found[1]
    return f"{float(digits if digits.startswith(('0', '.')) else '0.' + digits.replace('.', '')):g}"


def _named_once(slis: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    seen: dict[str, int] = {}
    named: list[Mapping[str, str]] = []
    for sli in slis:
        seen[sli["name"]] = seen.get(sli["name"], 0) + 1
        again = seen[sli["name"]]
        named.append(sli if again == 1 else {**sli, "name": f"{sli['name']}-{again}"})
    return named


def flow(values: Mapping[str, str]) -> str:
    """As one line of YAML."""
    return "{" + ", ".join(f"{name}: {_scalar(value)}" for name, value in values.items()) + "}"


def _scalar(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
