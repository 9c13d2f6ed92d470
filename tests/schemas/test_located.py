# tables of cases read better with one case a line
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import located
from schemas.errors import UserError
from schemas.located import Errors, Finding, Located, dotted, read, read_text


def only(text: str) -> Located:
    documents, findings = read(text, "x.yaml")
    assert findings == []
    (document,) = documents
    return document


def test_scalars_stay_as_written() -> None:
    document = only("a: 2.10\nb: on\nc: 007\nd: 'null'\ne: null\nf:\ng: ~\nh: |\n  two\n  lines\n")
    assert document.data == {
        "a": "2.10", "b": "on", "c": "007", "d": "null", "e": None, "f": None, "g": None, "h": "two\nlines\n",
    }  # fmt: skip


def test_places_of_keys_values_and_list_items() -> None:
    document = only("# comment\nslis:\n  - name: e\n    limit: {a: 1}\nempty:\n")
    assert document.keys[("slis", 0, "limit")] == (4, 5)
    assert document.values[("slis", 0, "limit")] == (4, 12)
    assert document.values[("slis", 0)] == (3, 5)
    assert document.values[("empty",)] == (5, 1)
    assert document.lines() == {
        "slis": 2, "slis[0]": 3, "slis[0].name": 3, "slis[0].limit": 4, "slis[0].limit.a": 4, "empty": 5,
    }  # fmt: skip


def test_a_finding_stands_at_the_nearest_thing_written() -> None:
    document = only("a:\n  b: 1\n")
    assert str(document.at(("a", "b"), "no")) == "x.yaml:2:6: no"
    assert str(document.at(("a", "c", "d"), "no")) == "x.yaml:2:3: no"
    assert str(document.at_key(("a", "b"), "no")) == "x.yaml:2:3: no"
    assert str(document.at_key(("z",), "no")) == "x.yaml:1:1: no"


def test_documents_of_one_file_have_their_own_text_and_the_lines_of_the_file() -> None:
    text = "# first\na: 1\n---\n# second\na: 2\n...\n---\n---\na: 3\n"
    documents, findings = read(text, "x.yaml")
    assert findings == []
    assert [document.data for document in documents] == [{"a": "1"}, {"a": "2"}, {"a": "3"}]
    assert [document.keys[("a",)] for document in documents] == [(2, 1), (5, 1), (9, 1)]
    assert [only(document.source).data for document in documents] == [{"a": "1"}, {"a": "2"}, {"a": "3"}]
    assert documents[0].source == "# first\na: 1\n"


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("a: 1\nb: 2\na: 3\n", "x.yaml:3:1: 'a' stands here again: it was already given in line 1"),
        ("a: {b: 1, b: 2}\n", "x.yaml:1:11: 'b' stands here again: it was already given in line 1"),
        (
            "a: !!python/object/apply:os.system [ls]\n",
            "x.yaml:1:4: tags such as tag:yaml.org,2002:python/object/apply:os.system are not used here: remove it",
        ),
        ("a: *b\n", "x.yaml:1:4: there is no anchor &b above"),
        ("a: &a [&b c]\n", "x.yaml:1:8: an anchor inside an anchored value is not used here: remove it"),
        ("[a]: 1\n", "x.yaml:1:1: a key must be plain text"),
        ("a: [1,\n", "x.yaml:2:1: this is not YAML: while parsing a flow"),
        ("[" * 1000, "x.yaml:1:33: more than 32 lists and mappings inside each other"),
        ("a: &a [*a]\n", "x.yaml:1:4: more than 32 lists and mappings inside each other"),
        ("a: &a " + "[" * 40, "x.yaml:1:39: more than 32 lists and mappings inside each other"),
        (
            f"a: &a [{'x,' * 2000}]\nb: [{'*a,' * 2000}]\n",
            "x.yaml:1:3606: the file unfolds to more than 200000 values: split it, or use fewer aliases",
        ),
    ],
)
def test_what_is_refused(text: str, finding: str) -> None:
    _, findings = read(text, "x.yaml")
    assert [str(found)[: len(finding)] for found in findings] == [finding]


def test_an_alias_is_its_value_with_the_places_where_that_was_written() -> None:
    document = only("a: &a {b: [1]}\nc: *a\n")
    assert document.data == {"a": {"b": ["1"]}, "c": {"b": ["1"]}}
    assert document.values[("c",)] == (2, 4)
    assert document.values[("c", "b", 0)] == (1, 12)


def test_findings_are_sorted_and_once() -> None:
    late, early = Finding("x", 2, 1, "b"), Finding("x", 1, 9, "a")
    errors = Errors([late, early, late])
    assert errors.findings == [early, late]
    assert str(errors) == "x:1:9: a\nx:2:1: b"


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.yaml"
    with pytest.raises(UserError) as missing:
        read_text(path)
    assert str(missing.value) == f"{path} cannot be read: no such file or directory"
    with pytest.raises(UserError) as folder:
        read_text(tmp_path)
    assert str(folder.value) == f"{tmp_path} cannot be read: is a directory"
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(Errors) as latin:
        read_text(path)
    assert str(latin.value) == f"{path}:2:4: this is not UTF-8 text: save the file as UTF-8"
    monkeypatch.setattr(located, "FILE_BYTES_MAX", 5)
    with pytest.raises(Errors) as large:
        read_text(path)
    assert str(large.value).startswith(f"{path}:1:1: the file is larger than")


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert only(read_text(path)).data == {"a": "1"}


def test_dotted_begins_with_an_index_too() -> None:
    assert dotted((0, "a", 1)) == "[0].a[1]"


plain = st.recursive(
    st.none() | st.text("abc :#-'\"{}[],&*!|>%@\n\u00e4", max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(st.text("abc", min_size=1), plain, min_size=1))
def test_what_another_writer_wrote_is_read_as_it_was(data: dict[str, Any]) -> None:
    assert only(json.dumps(data)).data == data  # every JSON text is YAML


@settings(deadline=None)
@given(st.text(st.sampled_from("a1:-[]{},&*!|>'\"#? \n\t~%@\x00\ud800"), max_size=60))
def test_any_text_is_an_answer(text: str) -> None:
    documents, findings = read(text, "x.yaml")
    assert all(document.data is not None for document in documents)
    assert all(finding.line >= 1 and finding.column >= 1 for finding in findings)
