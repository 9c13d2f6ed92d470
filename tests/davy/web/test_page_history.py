"""The page over what a real store remembers: from minutes to months in one view."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from schemas.codec import iso
from schemas.config import Config
from tests.davy.web.conftest import WAIT_MS, Open, box
from tests.support import past
from tests.support.served import ID, SPEC, WINDOW, Served, applied, decision, now, served, story, verdict, window

EXPERIMENT = f"/#/e/{ID}"
expect.set_options(timeout=WAIT_MS)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """Folder of a store, and until when it knows everything."""
    folder, end = tmp_path_factory.mktemp("stored"), now()
    past.fill(Config().with_data_dir(folder), end)
    return folder, end


@pytest.fixture
def end(stored: tuple[Path, int]) -> int:
    return stored[1]


@pytest.fixture
def console(stored: tuple[Path, int]) -> Iterator[Served]:
    """Over that store; itself it remembers the last two minutes only."""
    folder, end = stored
    with served(folder) as running:
        running.take(applied(time_us=end - past.HOURS * past.HOUR), *story(end)[1:-3])
        yield running


def pressed(page: Page) -> Locator:
    """The choice of span that holds."""
    return page.locator(".range [aria-pressed=true]")


def errors(page: Page) -> Locator:
    return page.get_by_role("img", name="error ratio of each arm")


def test_everything_reaches_back_to_what_only_the_store_knows(console: Served, opened: Open, end: int) -> None:
    page = opened(console.url + EXPERIMENT)
    expect(pressed(page)).to_have_text("everything")
    expect(page.locator(".shown")).to_contain_text(iso(end - past.HOURS * past.HOUR)[11:16])
    expect(page.locator(".shown")).to_contain_text("By 30 s, from the store")
    expect(errors(page)).to_contain_text("cache warmed by hand")
    expect(page.locator(".ledger li")).to_have_count(5)
    rows = page.get_by_role("row", name=re.compile("^control")).last
    expect(rows).to_contain_text(f"{past.HOURS * 3600 // 5 * 1000:,}")
    first = page.locator(".flag.HOLD").first
    first.click()
    why = page.locator("section.why")
    expect(why).to_contain_text("the canary was not seen yet")
    expect(why.get_by_role("row", name=re.compile("^errors"))).to_contain_text("of 400")


def test_a_month_and_its_link(console: Served, opened: Open, end: int) -> None:
    page = opened(console.url + EXPERIMENT)
    expect(page.locator(".shown")).to_contain_text("from the store")
    page.get_by_role("button", name="30 days").click()
    for _ in range(2):
        expect(errors(page)).to_contain_text(past.DEPLOY[:18])
        expect(page.get_by_role("region", name="SLI errors")).to_contain_text("the service outside it")
        expect(page.locator(".shown")).to_contain_text("By 6 h, from the store")
        expect(pressed(page)).to_have_text("30 days")
        assert "last=2592000" in page.url
        page.reload()
    expect(page.locator(".shown")).to_have_text(re.compile("^" + iso(end - 30 * past.DAY)[5:10]))


def test_the_brush_and_the_keys_choose_the_same(console: Served, opened: Open, end: int) -> None:
    page = opened(console.url + EXPERIMENT)
    brush = page.get_by_role("img", name="all that the store has")
    expect(page.locator(".shown")).to_contain_text("By 30 s, from the store")  # it stays as it is from here on
    chart = box(brush)
    page.mouse.move(chart["x"] + chart["width"] * 0.4, chart["y"] + 40)
    page.mouse.down()
    with page.expect_response(re.compile(f"{ID}$")):  # then all would be drawn anew
        console.take(decision("hold", 0.1, end, 900, "while somebody drags"))
    page.mouse.move(chart["x"] + chart["width"] * 0.6, chart["y"] + 40, steps=4)
    page.mouse.up()
    expect(page.locator(".shown")).to_contain_text("By 60 min, from the store")
    expect(pressed(page)).to_have_count(0)
    here = page.url
    since = datetime.fromtimestamp(int(re.findall(r"from=(\d+)", here)[0]) / 1000, UTC)
    expect(page.locator(".shown")).to_contain_text(since.strftime("%m-%d"))
    expect(page.get_by_role("slider", name="from")).to_have_attribute(
        "aria-valuetext", re.compile(since.strftime("%m-%d"))
    )
    page.get_by_role("slider", name="from").focus()
    page.keyboard.press("ArrowRight")
    expect(page).not_to_have_url(here)
    expect(page.get_by_role("slider", name="from")).to_be_focused()
    page.go_back()
    expect(page).to_have_url(here)
    page.get_by_role("button", name="closer").focus()
    page.keyboard.press("Enter")
    expect(page).not_to_have_url(here)
    page.get_by_role("slider", name="to").focus()
    page.keyboard.press("End")
    expect(page.locator(".shown")).to_contain_text("follows what comes")


def test_what_is_live_goes_on_where_the_store_ends(console: Served, opened: Open, end: int) -> None:
    page = opened(console.url + EXPERIMENT + "?last=3600")
    expect(page.locator(".shown")).to_contain_text("from the store")
    used = page.get_by_role("row", name=re.compile("^canary")).last.locator("td").last
    expect(used).to_have_text(re.compile("^7[12],"))
    console.take(
        window("canary", end, 4), window("control", end, 4), verdict("CONTINUE", "INCONCLUSIVE", 900, end + WINDOW)
    )
    expect(page.locator(".strip")).to_contain_text(iso(end + WINDOW)[11:19])
    expect(used).to_have_text(re.compile("^7[12],"))


def test_without_a_store_the_page_says_what_it_lacks(tmp_path: Path, opened: Open) -> None:
    with served(tmp_path) as console:
        console.take(*story(now()))
        page = opened(console.url + EXPERIMENT)
        expect(page.locator(".shown")).to_contain_text("Only what this console remembers: the store cannot be asked")
        page.get_by_role("button", name="7 days").click()
        expect(page.locator(".strip .word")).to_have_text("✖ HARM")
        expect(page.locator(".sli")).to_have_count(len(SPEC.slis))


@pytest.mark.parametrize("width", [1280, 360])
def test_nothing_pushes_a_month_aside(console: Served, opened: Open, width: int) -> None:
    page = opened(f"{console.url}{EXPERIMENT}?last=2592000", width, "dark")
    expect(page.locator(".shown")).to_contain_text("from the store")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
