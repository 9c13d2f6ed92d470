"""The audit: every way to tamper with a chain shows; what merely happens (repetition) does not."""

from __future__ import annotations

import random
from dataclasses import fields, replace

import pytest

from deploy.audit import Audit, audited
from deploy.ledger import EXAMPLE, Chain, digest
from schemas.decision import Decision


def chain(length: int, experiment: str = "e") -> list[Decision]:
    made: list[Decision] = []
    end = Chain()
    for number in range(length):
        decision = replace(
            EXAMPLE, decision_id=f"d{number}", experiment_id=experiment, time=number, reason=f"because {number}"
        )
        end, linked = end.add(decision)
        made.append(linked)
    return made


def audit(records: list[Decision]) -> dict[str, Audit]:
    return audited((f"decisions/0@{number}", record, None) for number, record in enumerate(records))


def test_a_ledger_as_it_was_written_is_whole_also_when_records_came_twice_and_experiments_mix() -> None:
    first, second = chain(5, "first"), chain(3, "second")
    mixed = [first[0], second[0], first[1], first[1], first[2], second[1], first[1], first[3], second[2], first[4]]
    found = audit(mixed)
    assert {name: (a.records, a.repeated, a.findings) for name, a in found.items()} == {
        "first": (5, 2, []), "second": (3, 0, []),
    }  # fmt: skip
    assert found["first"].head == first[-1].hash


CHANGED: dict[str, object] = {
    "sequence": 77, "time": 5, "weights": {"control": 0.5}, "details": {"x": "y"}, "step": 9, "epoch": 8,
    "outcome": "REFUSED",
}  # fmt: skip


@pytest.mark.parametrize("name", [f.name for f in fields(Decision) if f.name not in ("hash", "experiment_id")])
def test_a_changed_field_shows(name: str) -> None:
    records = chain(3)
    value = CHANGED.get(name, "changed")
    records[1] = replace(records[1], **{name: value})
    assert len(audit(records)["e"].findings) == 1, f"{name} can be changed unseen"


def test_a_changed_record_whose_hash_was_made_anew_breaks_the_next() -> None:
    records = chain(3)
    forged = replace(records[1], reason="nothing happened")
    records[1] = replace(forged, hash=digest(forged))
    (finding,) = audit(records)["e"].findings
    assert finding == "decisions/0@2: e #3: records between #2 and it are gone, or were changed"


@pytest.mark.parametrize("seed", range(20))
def test_records_removed_moved_or_put_in_show(seed: int) -> None:
    rng = random.Random(seed)
    records = chain(rng.randint(3, 9))
    whole = list(records)
    at = rng.randrange(len(records) - 1)  # the end cut off shows only against a noted head
    match rng.choice(["remove", "move", "put in", "fork"]):
        case "remove":
            del records[at]
        case "move":
            records[at], records[at + 1] = records[at + 1], records[at]
        case "put in":
            records.insert(at + 1, replace(EXAMPLE, experiment_id="e", sequence=at + 2))
        case _:
            forked = replace(records[at], decision_id="other", hash=None)
            records.insert(at + 1, replace(forked, hash=digest(forked)))
    assert audit(records)["e"].findings, records
    assert not audit(whole)["e"].findings


def test_a_cut_end_shows_against_a_noted_hash_and_signatures_are_told() -> None:
    records = chain(4)
    cut = audit(records[:2])["e"]
    assert (cut.findings, records[3].hash in cut.hashes) == ([], False)
    unsigned = audited([("decisions/0@0", records[0], "it is not signed")])["e"]
    assert unsigned.findings == ["decisions/0@0: e #1: it is not signed"]


def test_records_of_before_there_was_a_chain_are_counted_but_none_may_follow_it() -> None:
    old = [replace(EXAMPLE, experiment_id="e", sequence=number) for number in (1, 2)]
    end = Chain(length=2)
    end, linked = end.add(replace(EXAMPLE, experiment_id="e"))
    found = audit([*old, linked])["e"]
    assert (found.unchained, found.findings) == (2, [])
    assert audit([*old, linked, old[0]])["e"].findings
