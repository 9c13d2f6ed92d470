"""YAML with places: plain data, and the line and column of every key and value.

Documents are built here from the parser's events, so nothing is ever constructed from a tag. Every scalar is the text that
was written (``version: 2.10`` stays "2.10", ``on`` stays "on"), only an empty one or ``null`` is None: the models give types.
Limits on size, values (aliases count as often as they are used) and depth keep hostile files cheap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent, DocumentStartEvent, MappingEndEvent, MappingStartEvent, NodeEvent, ScalarEvent, SequenceEndEvent,
    SequenceStartEvent,
)  # fmt: skip

from schemas.errors import UserError

FILE_BYTES_MAX = 4 * 1024 * 1024
"""A file larger than this is refused unread; a spec has some 1.5 KB."""
VALUES_MAX = 200_000
"""Values of all documents of a file, aliases unfolded."""
DEPTH_MAX = 32
"""Mappings and lists inside each other."""
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})

Loc = tuple[str | int, ...]
"""Where something is inside a document: keys and list indices from the top."""
Place = tuple[int, int]
"""Line and column, both from 1."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """What is wrong where, and what would be right; line and column count from 1."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class Errors(UserError):
    """Everything that is wrong with some files, in order of place."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = sorted(set(findings))
        super().__init__("\n".join(map(str, self.findings)))


@dataclass(slots=True)
class Located:
    """One document: `data` is plain (dict, list, str, None), `source` its own text; `keys` and `values` know the places."""

    file: str
    source: str
    data: Any = None
    keys: dict[Loc, Place] = field(default_factory=dict[Loc, Place])
    values: dict[Loc, Place] = field(default_factory=dict[Loc, Place])

    def at(self, loc: Loc, message: str) -> Finding:
        """A finding at a value, or at the nearest thing around it that was written."""
        while loc and loc not in self.values:
            loc = loc[:-1]
        return Finding(self.file, *self.values.get(loc, (1, 1)), message)

    def at_key(self, loc: Loc, message: str) -> Finding:
        """A finding at a key; where there is none, at its value."""
        return Finding(self.file, *self.keys[loc], message) if loc in self.keys else self.at(loc, message)

    def lines(self) -> dict[str, int]:
        """Line of every path, dotted: ``slis[0].max_increase`` -> 14."""
        return {dotted(loc): line for loc, (line, _) in {**self.values, **self.keys}.items() if loc}


def dotted(loc: Loc) -> str:
    """A path for people.

    >>> dotted(("slis", 0, "max_increase"))
    'slis[0].max_increase'
    """
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).removeprefix(".")


def read_text(path: Path) -> str:
    """A file as text; raises `UserError` where it cannot be read, `Errors` where it is too large or no UTF-8."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from error
    if len(data) > FILE_BYTES_MAX:
        raise Errors([Finding(str(path), 1, 1, f"the file is larger than {FILE_BYTES_MAX // 2**20} MiB: split it")])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        raise Errors([Finding(str(path), line, column, "this is not UTF-8 text: save the file as UTF-8")]) from None


def read(text: str, file: str) -> tuple[list[Located], list[Finding]]:
    """All documents of a YAML text that are not empty, and what is wrong with the YAML itself.

    A document with a finding is still there, without the part that is wrong; after a syntax error nothing more is read.

    >>> documents, findings = read("id: a\\nid: b\\n", "x.yaml")
    >>> documents[0].data, str(findings[0])
    ({'id': 'a'}, "x.yaml:2:1: 'id' stands here again: it was already given in line 1")
    """
    builder = _Builder(text, file)
    try:
        builder.run()
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        problem = " ".join(str(part) for part in (error.context, error.problem) if part)
        builder.findings.append(Finding(file, line, column, f"this is not YAML: {problem}"))
    except YAMLError as error:
        builder.findings.append(Finding(file, 1, 1, f"this is not YAML: {' '.join(str(error).split())}"))
    except _Stop as stop:
        builder.findings.append(stop.finding)
    return [document for document in builder.documents if document.data is not None], builder.findings


class _Stop(Exception):
    """The file is refused."""

    def __init__(self, finding: Finding) -> None:
        self.finding = finding


class _Builder:
    """Builds documents from events, one event of look-ahead, depth limited."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.documents: list[Located] = []
        self.findings: list[Finding] = []
        self._events = cast(Iterator[Any], iter(cast(Any, YAML(typ="safe", pure=True)).parse(text)))
        self._left = VALUES_MAX
        self._anchors: dict[str, list[NodeEvent]] = {}

    def run(self) -> None:
        """Read to the end."""
        begun: list[int] = []
        try:
            for event in self._events:
                if isinstance(event, DocumentStartEvent):
                    begun.append(event.start_mark.index if begun else 0)
                    self._anchors = {}
                    document = Located(self.file, "")
                    self.documents.append(document)
                    document.data = self._value(next(self._events), (), document, self._events)
        finally:
            for document, start, end in zip(self.documents, begun, [*begun[1:], len(self.text)], strict=False):
                document.source = self.text[start:end]  # no document at all: nothing to do

    def _value(self, event: Any, loc: Loc, document: Located, events: Iterator[Any]) -> Any:
        self._left -= 1
        if self._left < 0:
            self._stop(event, f"the file unfolds to more than {VALUES_MAX} values: split it, or use fewer aliases")
        if isinstance(event, AliasEvent):
            return self._alias(event, loc, document)
        if event.anchor is not None and events is self._events:
            events = self._record(event, events)
        document.values.setdefault(loc, _place(event))
        if event.tag is not None:
            self._say(event, f"tags such as {event.tag} are not used here: remove it")
        if isinstance(event, ScalarEvent):
            plain = event.implicit[0] and event.style in (None, "")
            return None if plain and event.value in _NULLS else str(event.value)
        if len(loc) >= DEPTH_MAX:
            self._stop(event, f"more than {DEPTH_MAX} lists and mappings inside each other")
        if isinstance(event, MappingStartEvent):
            return self._mapping(loc, document, events)
        items: list[Any] = []
        while not isinstance(event := next(events), SequenceEndEvent):
            items.append(self._value(event, (*loc, len(items)), document, events))
        return items

    def _mapping(self, loc: Loc, document: Located, events: Iterator[Any]) -> dict[str, Any]:
        data: dict[str, Any] = {}
        while not isinstance(event := next(events), MappingEndEvent):
            if not isinstance(event, ScalarEvent):
                self._stop(event, "a key must be plain text")
            name, place = str(event.value), _place(event)
            here = (*loc, name)
            if name in data:
                self._say(event, f"{name!r} stands here again: it was already given in line {document.keys[here][0]}")
                self._value(next(events), here, Located(self.file, ""), events)
                continue
            document.keys[here] = place
            data[name] = self._value(next(events), here, document, events)
            if data[name] is None:
                document.values[here] = place  # nothing was written: the parser's mark is that of what follows
        return data

    def _record(self, event: Any, events: Iterator[Any]) -> Iterator[Any]:
        """Keep the events of an anchored value, then give them again."""
        kept: list[NodeEvent] = [event]
        depth = int(isinstance(event, (MappingStartEvent, SequenceStartEvent)))
        while depth:
            following = next(events)
            depth += isinstance(following, (MappingStartEvent, SequenceStartEvent))
            depth -= isinstance(following, (MappingEndEvent, SequenceEndEvent))
            if depth > DEPTH_MAX:
                self._stop(following, f"more than {DEPTH_MAX} lists and mappings inside each other")
            kept.append(following)
            if len(kept) > 2 * VALUES_MAX:
                self._stop(event, f"the file has more than {VALUES_MAX} values: split it")
            if isinstance(following, NodeEvent) and not isinstance(following, AliasEvent) and following.anchor:
                self._say(following, "an anchor inside an anchored value is not used here: remove it")
        self._anchors[str(event.anchor)] = kept
        return iter(kept[1:])

    def _alias(self, event: Any, loc: Loc, document: Located) -> Any:
        """The anchored value once more; its findings and places are those of where it was written, the top that of the alias."""
        document.values.setdefault(loc, _place(event))
        kept = self._anchors.get(str(event.anchor))
        if kept is None:
            self._say(event, f"there is no anchor &{event.anchor} above")
            return None
        return self._value(kept[0], loc, document, iter(kept[1:]))

    def _say(self, event: Any, message: str) -> None:
        self.findings.append(Finding(self.file, *_place(event), message))

    def _stop(self, event: Any, message: str) -> None:
        raise _Stop(Finding(self.file, *_place(event), message))


def _place(event: Any) -> Place:
    return (event.start_mark.line + 1, event.start_mark.column + 1)
