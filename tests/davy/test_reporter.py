"""Reports are made by themselves, once for each end, from a real store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from davy.commands import report
from davy.reporter import FOLDER, Reporter
from streams.sinks.embedded import EmbeddedStore, folder_of
from streams.sinks.rows import of_decision
from streams.sinks.tables import Row
from tests.davy.scenes import decision, rolled_back


def made(reporter: Reporter) -> list[Row]:
    assert reporter.make() is False
    rows: list[Row] = []
    while not reporter.made.empty():
        rows.append(reporter.made.get())
    return rows


def test_an_end_has_one_report_in_both_forms_also_for_who_begins_anew(tmp_path: Path) -> None:
    config = rolled_back(tmp_path)
    reporter = Reporter(config)
    (row,) = made(reporter)
    assert (row["experiment_id"], row["state"]) == ("demo-errors", "rolled_back")
    assert str(row["markdown"]).startswith("# demo-errors: rolled back\n")
    assert (tmp_path / FOLDER / "demo-errors.md").read_text() == row["markdown"]
    assert "<h1>demo-errors: rolled back</h1>" in (tmp_path / FOLDER / "demo-errors.html").read_text()
    assert made(reporter) == [], "it waits to be stored"
    assert [again["sequence"] for again in made(Reporter(config))] == [1], "whoever begins anew makes it again"
    with EmbeddedStore(folder_of(config)) as store:
        store.insert("reports", [row])
    assert made(Reporter(config)) == []
    assert report.find("tolerance probably", config, as_json=False) == report.UNKNOWN
    assert report.find("wrong tolerance", config, as_json=False) == 0, "words that only the report has"


def test_a_later_end_has_a_later_report(tmp_path: Path) -> None:
    config = rolled_back(tmp_path)
    (row,) = made(Reporter(config))
    again = replace(decision({}), decision_id="again", kind="abort", sequence=9, state_after="aborted")
    with EmbeddedStore(folder_of(config)) as store:
        store.insert("reports", [row])
        store.insert("decisions", of_decision(again.encode())["decisions"])
    (later,) = made(Reporter(config))
    assert (later["sequence"], later["state"]) == (9, "aborted")


def test_an_end_whose_verdict_is_not_stored_yet_waits(tmp_path: Path) -> None:
    config = rolled_back(tmp_path)
    other = replace(decision({}), decision_id="other", experiment_id="other", state_after="promoted")
    with EmbeddedStore(folder_of(config)) as store:
        store.insert("decisions", of_decision(other.encode())["decisions"])
    reporter = Reporter(config)
    assert reporter.make() is True
    assert reporter.made.get()["experiment_id"] == "demo-errors"
    assert reporter.made.empty()
