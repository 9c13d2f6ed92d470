"""YAML with places: plain data, and the line and column of every key and value.

Every scalar is read as the text that was written (``version: 2.10`` stays "2.10"), only null is None; the models give
types. Nothing is ever constructed from tags. A file is limited in size and in nodes, so that aliases cannot explode; a
key that stands twice is an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML, MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from schemas.errors import UserError

FILE_BYTES_MAX = 4 * 1024 * 1024
NODES_MAX = 200_000
NULLS = frozenset({"", "~", "null", "Null", "NULL"})

Path = tuple[str | int, ...]


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
    """Everything that is wrong with a file."""

    def __init__(self, findings: list[Finding]) -> None:
        self.findings = sorted(set(findings))
        super().__init__("\n".join(map(str, self.findings)))


@dataclass(slots=True)
class Located:
    """One document: `data` is plain, `keys` and `values` give (line, column) of each path."""

    file: str
    data: Any
    source: str
    keys: dict[Path, tuple[int, int]] = field(default_factory=dict[Path, tuple[int, int]])
    values: dict[Path, tuple[int, int]] = field(default_factory=dict[Path, tuple[int, int]])

    def at(self, path: Path, message: str, *, key: bool = False) -> Finding:
        """A finding at a path, or at the nearest thing around it that was written."""
        for end in range(len(path), -1, -1):
            place = self.keys.get(path[:end]) if key and end == len(path) else self.values.get(path[:end])
            if place is not None:
                return Finding(self.file, *place, message)
        return Finding(self.file, 1, 1, message)


def read(text: str, file: str) -> list[Located]:
    """All documents of a YAML text; raises `Errors`."""
    if len(text.encode()) > FILE_BYTES_MAX:
        raise Errors([Finding(file, 1, 1, f"the file is larger than {FILE_BYTES_MAX // 2**20} MiB")])
    yaml = YAML(typ="safe", pure=True)
    findings: list[Finding] = []
    try:
        nodes = list(yaml.compose_all(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise Errors([Finding(file, line, column, f"this is no YAML: {error.problem or error.context}")]) from None
    except YAMLError as error:
        raise Errors([Finding(file, 1, 1, f"this is no YAML: {' '.join(str(error).split())}")]) from None
    lines = text.splitlines(keepends=True)
    found: list[Located] = []
    budget = [NODES_MAX]
    for node in nodes:
        if node is None:
            continue
        source = "".join(lines[node.start_mark.line : node.end_mark.line + 1])
        document = Located(file, None, source.split("\n---")[0].removesuffix("---\n"))
        document.data = _build(node, (), document, findings, budget)
        found.append(document)
    if findings:
        raise Errors(findings)
    return found


def _build(node: Node, path: Path, document: Located, findings: list[Finding], budget: list[int]) -> Any:
    budget[0] -= 1
    if budget[0] < 0:
        raise Errors([Finding(document.file, 1, 1, f"the file unfolds to more than {NODES_MAX} values")])
    document.values[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
    if isinstance(node, MappingNode):
        return _mapping(node, path, document, findings, budget)
    if isinstance(node, SequenceNode):
        return [_build(item, (*path, i), document, findings, budget) for i, item in enumerate(node.value)]
    if isinstance(node, ScalarNode):
        return None if node.style is None and node.value in NULLS else str(node.value)
    return None


def _mapping(
    node: MappingNode, path: Path, document: Located, findings: list[Finding], budget: list[int]
) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = str(key_node.value)
        place = (*path, key)
        if key in data:
            first = document.keys[place][0]
            findings.append(
                Finding(
                    document.file, key_node.start_mark.line + 1, key_node.start_mark.column + 1,
                    f"{key!r} stands here again; it was set in line {first}",
                )
            )  # fmt: skip
            continue
        document.keys[place] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
        data[key] = _build(value_node, place, document, findings, budget)
    return data
