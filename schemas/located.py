"""YAML with places: plain data, and the line and column of every key and value.

Documents are built here from the parser's events, so nothing is ever constructed from a tag. Every scalar is
the text that was written (``version: 2.10`` stays "2.10", ``on`` stays "on"), only an empty one or ``null``
is None: the models give types.
Limits on size, values (aliases count as often as they are used) and depth keep hostile files cheap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeGuard

from schemas.errors import UserError
from schemas.yaml_events import Event, NotYaml, Place, events

FILE_BYTES_MAX = 4 * 1024 * 1024
"""A file larger than this is refused unread; a spec has some 1.5 KB."""
VALUES_MAX = 200_000
"""Values of all documents of a file, aliases unfolded."""
DEPTH_MAX = 32
"""Mappings and lists inside each other."""
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})

Loc = tuple[str | int, ...]
"""Where something is inside a document: keys and list indices from the top."""


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
    """One document: `data` is plain (dict, list, str, None), `source` its own text, the rest are places."""

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
    """A file as text; raises `UserError` if it cannot be read, `Errors` if it is too large or not UTF-8."""
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

    A document with a finding is still there, without the part that is wrong; a syntax error ends the reading.

    >>> documents, findings = read("id: a\\nid: b\\n", "x.yaml")
    >>> documents[0].data, str(findings[0])
    ({'id': 'a'}, "x.yaml:2:1: 'id' stands here again: it was already given in line 1")
    """
    builder = _Builder(text, file)
    try:
        builder.run()
    except NotYaml as error:
        builder.findings.append(Finding(file, *error.place, f"this is not YAML: {error}"))
    except _Stop as stop:
        builder.findings.append(stop.finding)
    return [document for document in builder.documents if document.data is not None], builder.findings


class _Stop(Exception):
    """The file is refused."""

    def __init__(self, finding: Finding) -> None:
        self.finding = finding


class _Builder:
    """Builds documents from events."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.documents: list[Located] = []
        self.findings: list[Finding] = []
        self._events = events(text)
        self._left = VALUES_MAX
        self._anchors: dict[str, list[Event]] = {}

    def run(self) -> None:
        """Read to the end."""
        begun: list[int] = []
        try:
            for event in self._events:
                begun.append(event.index if begun else 0)
                self._anchors = {}
                document = Located(self.file, "")
                self.documents.append(document)
                document.data = self._value(next(self._events), (), document, self._events)
        finally:
            for document, start, end in zip(self.documents, begun, [*begun[1:], len(self.text)], strict=False):
                document.source = self.text[start:end].rstrip() + "\n"

    def _value(self, event: Event, loc: Loc, document: Located, rest: Iterator[Event]) -> Any:
        """The value that begins with `event`; takes what belongs to it from `rest`."""
        self._left -= 1
        if self._left < 0:
            self._stop(event, f"the file unfolds to more than {VALUES_MAX} values: split it, or use fewer aliases")
        document.values.setdefault(loc, event.place)
        if event.kind == "alias":
            return self._alias(event, loc, document)
        if event.anchor is not None and rest is self._events:
            rest = self._record(event)
        if event.tag is not None:
            self._say(event, f"tags such as {event.tag} are not used here: remove it")
        if event.kind == "scalar":
            return None if event.plain and event.text in _NULLS else event.text
        if len(loc) >= DEPTH_MAX:
            self._stop(event, f"more than {DEPTH_MAX} lists and mappings inside each other")
        if event.kind == "mapping":
            return self._mapping(loc, document, rest)
        items: list[Any] = []
        while (event := next(rest)).kind != "end":
            items.append(self._value(event, (*loc, len(items)), document, rest))
        return items

    def _mapping(self, loc: Loc, document: Located, rest: Iterator[Event]) -> dict[str, Any]:
        data: dict[str, Any] = {}
        while (key := next(rest)).kind != "end":
            if key.kind != "scalar":
                self._stop(key, "a key must be plain text")
            here = (*loc, key.text)
            if key.text in data:
                first = document.keys[here][0]
                self._say(key, f"{key.text!r} stands here again: it was already given in line {first}")
                self._value(next(rest), here, Located(self.file, ""), rest)
                continue
            document.keys[here] = key.place
            data[key.text] = self._value(next(rest), here, document, rest)
            if data[key.text] is None:
                document.values[here] = key.place  # nothing was written: the parser's place is that of what follows
        return data

    def _record(self, event: Event) -> Iterator[Event]:
        """Keep the events of an anchored value, then give them again."""
        kept = [event]
        depth = int(event.kind in ("mapping", "list"))
        while depth:
            following = next(self._events)
            depth += (following.kind in ("mapping", "list")) - (following.kind == "end")
            if depth > DEPTH_MAX:
                self._stop(following, f"more than {DEPTH_MAX} lists and mappings inside each other")
            if following.kind != "alias" and following.anchor is not None:
                self._say(following, "an anchor inside an anchored value is not used here: remove it")
            kept.append(following)
            if len(kept) > VALUES_MAX:
                self._stop(event, f"the file has more than {VALUES_MAX} values: split it")
        self._anchors[str(event.anchor)] = kept
        return iter(kept[1:])

    def _alias(self, event: Event, loc: Loc, document: Located) -> Any:
        """The anchored value once more; what is inside it has the places where it was written."""
        kept = self._anchors.get(str(event.anchor))
        if kept is None:
            self._say(event, f"there is no anchor &{event.anchor} above")
            return None
        return self._value(kept[0], loc, document, iter(kept[1:]))

    def _say(self, event: Event, message: str) -> None:
        self.findings.append(Finding(self.file, *event.place, message))

    def _stop(self, event: Event, message: str) -> NoReturn:
        raise _Stop(Finding(self.file, *event.place, message))


def is_mapping(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether plain data is a mapping."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether plain data is a list."""
    return isinstance(value, list)
