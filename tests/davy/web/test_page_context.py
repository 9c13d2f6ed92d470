"""What stands beside the evidence on the page: deploys, flags, people, dependencies, budgets, changes, what was learned."""

from __future__ import annotations

import re
from dataclasses import replace

from playwright.sync_api import expect

from schemas.budget import BudgetStatus
from schemas.change import Carrier, ChangeEvent, Link
from schemas.control import Annotation, Control
from schemas.probe import ProbeResult
from tests.davy.web.conftest import WAIT_MS, Open, serious
from tests.support import past
from tests.support.artefacts import picture
from tests.support.served import ID, SECOND, SPEC, WINDOW, Served, applied, decision, now, story, verdict, window

EXPERIMENT = f"/#/e/{ID}"
expect.set_options(timeout=WAIT_MS)


def context(end: int) -> list[object]:
    """A story with something of everything."""
    told: list[object] = list(story(end))
    begin = end - 24 * WINDOW
    notes = (
        ("checkout 2.4.1 deployed", "deploy"),
        ("flag dark-mode was set", "flag"),
        ("pool size 20 to 40", "config"),
        ("look at this", "x"),
    )
    for number, (text, tag) in enumerate(notes):
        told.append(
            Control("annotations", begin + (3 + 5 * number) * WINDOW, "bob", "annotation", Annotation(text, (tag,)))
        )
    told.append(decision("pause", 0.1, begin + 10 * WINDOW, 7, "lunch", actor="ann"))
    told.append(decision("resume", 0.1, begin + 13 * WINDOW, 8, "back", actor="ann"))
    told.append(ProbeResult("redis", "tcp", end, False, "OPEN", None, "connection refused", 0.6, (SPEC.service,)))
    told.append(ProbeResult("payments", "http", end, True, "CLOSED", 4_200, None, 0.0, (SPEC.service,)))
    told.append(ProbeResult("elsewhere", "http", end, True, "CLOSED", 4_200, None, 0.0, ("another",)))
    told.append(BudgetStatus(
        "availability", SPEC.service, SPEC.environment, end, 0.999, 30 * past.DAY, None, 30 * past.DAY, 1_000_000, 800, 1000.0,
        0.2, "TICKET", end - past.HOUR, (), {"2.4.1": 0.31, "2.3.1": 0.02}, "20 % of the budget of 30 days is left",
    ))  # fmt: skip
    change = ChangeEvent(
        "errors", end - 5 * WINDOW, end - 6 * WINDOW, end - 4 * WINDOW, 0.004, 0.031,
        (Carrier("segment", "eu-west", 0.93, 0.004, 0.12), Carrier("segment", None, 0.07, 0.004, 0.006)),
        (Link(end - 6 * WINDOW, "deploy", "payments 7.1 deployed"),),
    )  # fmt: skip
    asked = verdict("HOLD", "INCONCLUSIVE", 40, end + WINDOW, reason="errors changed after the promotion")
    told.append(replace(asked, phase="watch", change=change))
    return told


def test_each_chart_shows_what_happened_beside_it(console: Served, opened: Open) -> None:
    console.take(*context(now()))  # pyright: ignore[reportArgumentType]
    page = opened(console.url + EXPERIMENT, width=1280)
    for name in (
        "Weight over time",
        "error ratio of each arm",
        "Evidence of harm of latency-p99",
        "mean cpu_us of each arm",
    ):
        chart = page.get_by_role("img", name=name)
        for text in (
            "⬆ checkout 2.4.1 deployed",
            "⚑ flag dark-mode was set",
            "⚙ pool size 20 to 40",
            "✎ look at this",
            "☻ pause by ann",
            "▲ step 1",
            "✖ rollback",
        ):
            expect(chart.locator("title", has_text=text), f"{text} on {name}").to_have_count(1)
    page.get_by_text(re.compile("^What the [0-9]+ marks")).click()
    marks = page.locator(".timeline ol li")
    expect(marks.filter(has_text="☻ pause by ann")).to_contain_text("lunch")
    console.take(Control("annotations", now(), "eve", "annotation", Annotation("database switched", ("deploy",))))
    expect(marks.filter(has_text="⬆ database switched")).to_contain_text("by eve")


def test_dependencies_budgets_and_changes(console: Served, opened: Open) -> None:
    console.take(*context(now()))  # pyright: ignore[reportArgumentType]
    page = opened(console.url + EXPERIMENT)
    depends = page.locator("section", has=page.get_by_role("heading", name="What the service depends on"))
    expect(depends).to_contain_text("✖ is down redis · tcp, circuit open, 60 % of recent probes failed")
    expect(depends).to_contain_text("✔ answers payments · http, circuit closed, 0 % of recent probes failed, 4.2 ms")
    expect(depends).not_to_contain_text("elsewhere")
    budgets = page.locator("section", has=page.get_by_role("heading", name="Error budgets"))
    expect(budgets).to_contain_text("20 % left")
    expect(budgets).to_contain_text("canary spent 31 %")
    changes = page.locator("section", has=page.get_by_role("heading", name="Changes after the promotion"))
    expect(changes).to_contain_text("errors: 0.4 % to 3.1 %")
    expect(changes).to_contain_text("segment eu-west carries 93 %: 0.4 % to 12 %")
    expect(changes).to_contain_text("payments 7.1 deployed")
    console.take(ProbeResult("redis", "tcp", now() + SECOND, True, "HALF_OPEN", 900, None, 0.4, (SPEC.service,)))
    expect(depends).to_contain_text("◔ is tried again redis")


def test_what_became_of_the_events(console: Served, opened: Open) -> None:
    begin = now()
    console.take(applied(), window("control", begin, 4), window("canary", begin, 1, 300, duplicates=64))
    console.take(window("canary", begin + WINDOW, 1, 200, duplicates=128))
    page = opened(console.url + EXPERIMENT)
    funnel = page.locator("section", has=page.get_by_role("heading", name="What became of the events"))
    expect(funnel.locator("th[scope=col]")).to_have_text(
        ["arm", "received", "late", "duplicates", "quarantined", "used"]
    )
    row = funnel.get_by_role("row", name="canary")
    expect(row.locator("td")).to_have_text(["504", "4", "≈ 192", "0", "500"])
    expect(funnel.get_by_role("row", name="control").locator("td")).to_have_text(["1,002", "2", "0", "0", "1,000"])


def test_what_was_learned_is_a_page_of_its_own(console: Served, opened: Open) -> None:
    end = now()
    past.fill(console.config, end)
    console.take(*story(end))
    page = opened(console.url + EXPERIMENT)
    with page.expect_popup() as popup:
        page.get_by_role("link", name="read the report").click()
    expect(popup.value.get_by_role("heading", level=1)).to_contain_text(ID)
    expect(popup.value.locator("body")).to_contain_text("The new payment client raises no errors.")
    assert popup.value.evaluate("getComputedStyle(document.querySelector('td')).borderTopStyle") == "solid", (
        "its style holds"
    )


def test_what_was_learned_of_all_is_a_list(console: Served, opened: Open) -> None:
    end = now()
    past.fill(console.config, end)
    console.take(*story(end))
    page = opened(console.url)
    page.get_by_role("link", name="what was learned").click()
    line = page.locator(".records li")
    expect(line).to_have_count(1)
    expect(line).to_contain_text(f"{ID}: The new payment client raises no errors.")
    find = page.get_by_label("Find what was learned")
    page.keyboard.press("/")
    expect(find).to_be_focused()
    page.keyboard.type("no such thing")
    expect(page.locator(".learned")).to_contain_text("Nothing fits.")
    find.fill("PAYMENT client")
    expect(line).to_have_count(1)
    page.reload()
    expect(find).to_have_value("PAYMENT client")
    picture(page, "learned")
    assert serious(page) == []
    line.get_by_role("link", name=ID).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(ID)
