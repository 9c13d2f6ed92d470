"""What a command measured replaces what stood between its markers, and nothing else."""

from __future__ import annotations

import re

import pytest

from bench import __main__ as first_stage
from bench.document import DOCUMENT, END, replaced
from bench.peers import __main__ as peers


def test_only_what_is_between_the_markers_is_replaced() -> None:
    text = f"a\n<!-- x -->\nold\n{END}\nb\n<!-- y -->\nkept\n{END}\n"
    assert replaced(text, "<!-- x -->", "new") == f"a\n<!-- x -->\n\nnew\n\n{END}\nb\n<!-- y -->\nkept\n{END}\n"
    again = replaced(replaced(text, "<!-- y -->", "1"), "<!-- y -->", "2")
    assert "old" in again
    assert "kept" not in again


def test_missing_markers_are_an_error() -> None:
    with pytest.raises(ValueError, match="add <!-- z -->"):
        replaced(f"text {END}", "<!-- z -->", "new")


def test_the_document_has_a_place_for_every_command() -> None:
    text = DOCUMENT.read_text("utf-8")
    for begin in (first_stage.BEGIN, peers.BEGIN):
        assert re.search(re.escape(begin) + f".*?{re.escape(END)}", text, re.DOTALL)
