"""The report and the search, of a real store as a user asks them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from davy.commands.report import as_html
from tests.davy.scenes import rolled_back


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that knows one experiment, which was rolled back."""
    return rolled_back(tmp_path_factory.mktemp("data")).data_dir


def davy(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "davy", "report", *arguments, "--dir", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_it_says_what_was_hoped_for_seen_done_and_paid(folder: Path) -> None:
    done = davy(folder, "demo-errors")
    assert done.returncode == 0, done.stderr
    text = done.stdout
    assert text.startswith("# demo-errors: rolled back\n")
    assert "**Hypothesis.** The new payment client raises no errors." in text
    assert "| errors | error\\_ratio | 0.5 pp more | yes |" in text
    assert "- **ROLLBACK** (HARM) of canary: errors rose from 0.45 % to 2.49 %" in text
    assert "| rollback | DONE | rollout | a \\| b |" in text
    assert "- canary answered 1,000 requests, 25 with an error: +20 against control's ratio." in text
    assert "canary is worse than allowed in errors" in text
    assert "Nothing was shown" not in text, "throughput has nothing to show"


def test_html_has_tables_and_no_markup_from_the_text(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    assert davy(folder, "demo-errors", "--out", str(out)).returncode == 0
    page = out.read_text()
    assert page.startswith("<!doctype html>")
    assert "<td>error_ratio</td>" in page
    assert "<td>a | b</td>" in page
    assert "&lt;script&gt;" in as_html("<script>x</script>")


def test_experiments_are_found_by_words_of_spec_and_ledger(folder: Path) -> None:
    line = "demo-errors: rolled back; The new payment client raises no errors.\n"
    assert davy(folder).stdout == line
    assert davy(folder, "--search", "PAYMENT b").stdout == line
    none = davy(folder, "--search", "payment cache'")
    assert (none.returncode, none.stdout) == (3, "")
    assert "nothing was found" in none.stderr


def test_an_unknown_experiment_is_a_sentence(folder: Path) -> None:
    done = davy(folder, "nobody")
    assert done.returncode == 3
    assert "no experiment named 'nobody' was judged" in done.stderr
