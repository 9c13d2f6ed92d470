"""Incidents open once, last, and are resolved once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from deploy.incident_book import STALE_US, Book, Record
from schemas.budget import BudgetStatus
from schemas.change import ChangeEvent
from schemas.decision import Decision
from schemas.incident import Incident
from tests.deploy.test_dependencies import result
from tests.deploy.verdicts import NOW, verdict

SECOND = 1_000_000
SUSTAINED = 30 * SECOND


def told(*records: Record, now_us: int = NOW) -> list[tuple[str, bool]]:
    """Key, and whether it is over, of all news."""
    book, news = Book(), list[Incident]()
    for record in records:
        book, more = book.take(record, SUSTAINED, now_us)
        news += more
    return [(incident.key, incident.ended is not None) for incident in news]


def decision(kind: str, outcome: Any, variant: str | None = None, at: int = NOW) -> Decision:
    return Decision(
        f"{kind}{outcome}{at}", "e", "s", "test", 1, at, kind, outcome, "a", "because", None, variant, 0, "", "", None, {},
        {}, None, "davy",
    )  # fmt: skip


def test_a_circuit_opens_one_incident_and_closes_it() -> None:
    records = [
        result(c, NOW + i)
        for i, c in enumerate(("CLOSED", "OPEN", "HALF_OPEN", "OPEN", "HALF_OPEN", "CLOSED", "CLOSED"))
    ]
    assert told(*records) == [("circuit/sessions", False), ("circuit/sessions", True)]


def test_a_rollback_is_over_when_control_has_its_traffic() -> None:
    rollback = verdict("ROLLBACK", 1)
    again = replace(verdict("ROLLBACK", 2), issued_at=NOW + SECOND)
    done = decision("rollback", "DONE", "canary", NOW + 2 * SECOND)
    other = decision("rollback", "DONE", "another", NOW + 2 * SECOND)
    key = "rollback/e/canary"
    assert told(rollback, again, decision("rollback", "PLANNED", "canary"), other) == [(key, False)]
    assert told(rollback, done, done) == [(key, False), (key, True)]


def test_what_does_not_last_is_nobodys_incident() -> None:
    invalid = [replace(verdict("HOLD", i), conclusion="INVALID", issued_at=NOW + i * 10 * SECOND) for i in range(5)]
    healthy = replace(verdict("CONTINUE", 9), issued_at=NOW + 60 * SECOND)
    assert told(*invalid[:3]) == []
    assert told(*invalid[:2], healthy, *invalid[2:]) == []
    assert told(*invalid, healthy) == [("invalid/e/canary", False), ("invalid/e/canary", True)]


def test_the_beginning_is_that_of_the_trouble() -> None:
    book = Book()
    for i in range(5):
        held = replace(verdict("HOLD", i), conclusion="NO_DATA", issued_at=NOW + i * 10 * SECOND)
        book, news = book.take(held, SUSTAINED, NOW)
        for incident in news:
            assert (incident.started, incident.severity) == (NOW, "warning")
    assert list(book.open) == ["no-data/e/canary"]
    assert not book.pending


def test_a_failed_action_is_over_once_one_is_done() -> None:
    assert told(decision("shift", "FAILED"), decision("shift", "FAILED"), decision("shift", "DONE", at=NOW + 1)) == [
        ("failed/e", False), ("failed/e", True),
    ]  # fmt: skip


@pytest.mark.parametrize("record", [result("OPEN"), verdict("ROLLBACK", 1), decision("shift", "FAILED")])
def test_history_opens_nothing(record: Record) -> None:
    assert told(record, now_us=NOW + STALE_US + 1) == []
    assert len(told(record)) == 1


def burns(alert: Any, at: int = NOW) -> BudgetStatus:
    return BudgetStatus(
        "errors", "cart", "prod", at, 0.999, 30 * 86_400 * SECOND, None, 1, 10, 5, 5.0, 0.2, alert, None, (), {},
        "20 % of the error budget errors is left",
    )  # fmt: skip


def test_a_budget_that_burns_is_one_incident_which_may_get_worse_but_does_not_flap() -> None:
    key, times = "burn/cart/prod/errors", iter(range(NOW, NOW + 100))
    alerts = ("NONE", "TICKET", "TICKET", "PAGE", "TICKET", "PAGE", "NONE", "NONE")
    book, told = Book(), list[tuple[str, str, bool]]()
    for alert in alerts:
        book, news = book.take(burns(alert, next(times)), SUSTAINED, NOW)
        told += [(incident.key, incident.severity, incident.ended is not None) for incident in news]
    assert told == [(key, "warning", False), (key, "warning", True), (key, "critical", False), (key, "critical", True)]
    assert not book.open
    _, (incident,) = book.take(burns("PAGE"), SUSTAINED, NOW)
    assert incident.labels == {"service": "cart", "environment": "prod", "slo": "errors"}
    assert incident.title == "cart (prod): the error budget errors burns too fast"


def test_harm_of_a_service_without_an_experiment_is_one_incident_until_it_is_over() -> None:
    change = ChangeEvent("errors", NOW, NOW, NOW, 0.005, 0.04)
    said = replace(verdict("HOLD", 1), experiment_id="watch.cart.prod", variant="2", phase="watch", change=change)
    steps = ("INCONCLUSIVE", "HARM", "HARM", "INCONCLUSIVE", "HEALTHY", "HEALTHY")
    records = [replace(said, conclusion=word, issued_at=NOW + i) for i, word in enumerate(steps)]
    assert told(*records) == [
        ("harm/watch.cart.prod/2/errors", False), ("harm/watch.cart.prod/2/errors", True),
    ]  # fmt: skip
    assert told(replace(records[1], experiment_id="e")) == [], "of an experiment a rollback is one"
