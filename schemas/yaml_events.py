"""YAML as a flat stream of events with places: ruamel's parser behind a typed door.

Events are read one by one, so who reads them can stop at a limit before the parser has seen the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.reader import ReaderError

from schemas.frozen import frozen

Place = tuple[int, int]
"""Line and column, both from 1."""
Kind = Literal["document", "mapping", "list", "end", "scalar", "alias"]
_KINDS: dict[str, Kind] = {
    "DocumentStartEvent": "document",
    "MappingStartEvent": "mapping",
    "SequenceStartEvent": "list",
    "MappingEndEvent": "end",
    "SequenceEndEvent": "end",
    "ScalarEvent": "scalar",
    "AliasEvent": "alias",
}


@frozen()
class Event:
    """`index`: characters before it; `plain`: a scalar without quotes; `anchor`: for an alias its target."""

    kind: Kind
    place: Place
    index: int
    text: str = ""
    plain: bool = False
    tag: str | None = None
    anchor: str | None = None


class NotYaml(Exception):
    """The text breaks YAML's grammar, at `place`."""

    def __init__(self, place: Place, problem: str) -> None:
        super().__init__(problem)
        self.place = place


def events(text: str) -> Iterator[Event]:
    """All events of a text; raises `NotYaml` where its grammar ends."""
    parser: Any = YAML(typ="safe", pure=True)
    try:
        for found in cast("Iterator[Any]", parser.parse(text)):
            kind = _KINDS.get(type(found).__name__)
            if kind is not None:
                yield _event(kind, found)
    except MarkedYAMLError as error:
        told: Any = error
        mark = told.problem_mark or told.context_mark
        place = (int(mark.line) + 1, int(mark.column) + 1) if mark else (1, 1)
        raise NotYaml(place, ", ".join(str(part) for part in (told.context, told.problem) if part)) from None
    except ReaderError as error:
        told = error
        before = text[: int(told.position)]
        place = (before.count("\n") + 1, len(before) - before.rfind("\n"))
        raise NotYaml(place, f"the character U+{ord(text[len(before)]):04X} is not allowed") from None


def _event(kind: Kind, found: Any) -> Event:
    mark = found.start_mark
    scalar = kind == "scalar"
    tag, anchor = getattr(found, "tag", None), getattr(found, "anchor", None)
    return Event(
        kind, (int(mark.line) + 1, int(mark.column) + 1), int(mark.index), str(found.value) if scalar else "",
        scalar and bool(found.implicit[0]) and found.style in (None, ""),
        None if tag is None else str(tag), None if anchor is None else str(anchor),
    )  # fmt: skip
