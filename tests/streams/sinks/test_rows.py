from __future__ import annotations

import json
from dataclasses import replace

import pytest

from schemas.change import Carrier, ChangeEvent, Link
from schemas.codec import Malformed, UnknownSchema
from schemas.control import Command, Control, SpecApplied, WeightApplied
from schemas.verdict import Verdict
from streams.sinks.rows import READERS, of_control, of_verdict
from streams.sinks.tables import CHANGES, TABLES
from tests.streams.sinks import records

VALUES = {
    "windows": records.window(0, cpu_us=1.0), "verdicts": records.verdict(), "decisions": records.decision(),
    "probes": records.probe(), "control": records.applied(),
    "incidents": records.incident(),
}  # fmt: skip


@pytest.mark.parametrize("topic", READERS)
def test_rows_have_exactly_the_columns_of_their_tables(topic: str) -> None:
    found = READERS[topic](VALUES[topic].encode())
    assert found
    for table, rows in found.items():
        for row in rows:
            assert set(row) == set(TABLES[table].columns)


@pytest.mark.parametrize("topic", READERS)
def test_what_is_no_record_is_refused(topic: str) -> None:
    other = records.probe() if topic != "probes" else records.decision()
    for value in (b"", b"junk", VALUES[topic].encode()[:-1], VALUES[topic].encode() + b"x", other.encode()):
        with pytest.raises((Malformed, UnknownSchema)):
            READERS[topic](value)


def test_evidence_carries_what_is_still_needed() -> None:
    errors, traffic = of_verdict(records.verdict().encode())["evidence"]
    assert (errors["needed_requests"], errors["needed_seconds"], errors["position"]) == (3000, 40.0, 0)
    assert (traffic["needed_requests"], traffic["needed_seconds"], traffic["position"]) == (None, None, 1)


def test_what_the_watch_asks_about_is_a_change_that_later_verdicts_replace() -> None:
    carriers = (Carrier("segment", "eu", 0.92, 0.005, 0.09), Carrier("segment", None, 0.08, 0.005, 0.01))
    change = ChangeEvent("errors", 7, 5, 9, 0.005, 0.03, carriers, (Link(4, "annotation", "deploy"),))
    told = [replace(records.verdict(n), phase="watch", change=change, reason=f"r{n}") for n in (1, 2)]
    first, second = (of_verdict(verdict.encode()) for verdict in told)
    ((one,), (two,)) = (first["changes"], second["changes"])
    assert (one["kind"], one["time"], one["text"], one["tags"]) == ("change_point", 7, "errors", ["segment=eu: 92 %"])
    assert [one[name] for name in CHANGES.key] == [two[name] for name in CHANGES.key]
    assert two["reason"] == "r2"
    assert json.loads(str(second["verdicts"][0]["change"]))["links"][0]["text"] == "deploy"
    assert Verdict.decode(told[0].encode()) == told[0]
    assert of_verdict(records.verdict().encode())["changes"] == []
    spike = replace(told[0], change=replace(change, kind="anomaly"))
    assert [row["kind"] for row in of_verdict(spike.encode())["changes"]] == ["anomaly"]


def test_a_spec_that_cannot_be_read_keeps_its_text() -> None:
    body = SpecApplied("kind: Something", "old.yaml", "d1")
    rows = of_control(Control("old", 1, "ann", "", body).encode())["experiments"]
    assert (rows[0]["document"], rows[0]["service"], rows[0]["digest"]) == ("kind: Something", "", "d1")


def test_every_control_record_is_a_change() -> None:
    shift = Control("x", 5, "rollout", "", WeightApplied("i1", 2, {"canary": 0.5}))
    command = Control("x", 6, "ann", "lunch", Command("c1", "pause", None))
    assert of_control(shift.encode())["changes"][0]["weights"] == {"canary": 0.5}
    assert of_control(command.encode())["changes"][0]["text"] == "pause"
