"""The whole story in a browser, over a running Davy: broker, traffic, judge, rollout, store, console."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.davy.test_health import process
from tests.davy.web.conftest import Open, serious
from tests.support.artefacts import picture
from tests.support.demo import END_S, START_S, Demo, running

pytestmark = pytest.mark.usefixtures("alone")
ID = "demo-errors"
LOST = ("ERR_", "Failed to load", "409")
END_MS = END_S * 1000


def test_from_start_to_rollback(tmp_path: Path, opened: Open) -> None:
    with running("errors", tmp_path) as demo:
        ready = demo.until(lambda line: line["kind"] == "ready", START_S)
        demo.drain()
        page = opened(f"{ready['http']}/#/e/{ID}", complaints=LOST)
        guide, word = page.get_by_role("region", name="Guide"), page.locator(".strip .word")
        expect(guide.locator("[aria-current=step]")).to_have_text(re.compile("Traffic|Evidence grows"), timeout=END_MS)
        expect(word).to_have_text("◔ WATCHING", timeout=END_MS)
        expect(guide).to_contain_text("at 400 it would be proven", timeout=END_MS)
        expect(page.locator("#health")).to_have_text("● live", timeout=END_MS)
        _by_keyboard(page)
        _restart(demo, page)
        expect(word).to_have_text("✖ HARM", timeout=END_MS)
        expect(page.locator(".shares")).to_have_text("control 100 %", timeout=END_MS)
        expect(guide.locator("[aria-current=step]")).to_have_text("A decision")
        expect(guide).to_contain_text("davy init --service checkout --control 2.3.1")
        picture(page, "demo", whole=True)
        guide.get_by_role("button", name="why?").click()
        expect(page.locator("section.why")).to_contain_text("Why ROLLBACK at")
        expect(guide.locator("[aria-current=step]")).to_have_text("Why")
        _as_it_is_elsewhere(ready["http"], opened)
        guide.get_by_role("button", name="hide this guide").click()
        expect(guide).to_have_count(0)
        page.reload()
        expect(word).to_have_text("✖ HARM")
        expect(guide).to_have_count(0)


def _by_keyboard(page: Page) -> None:
    """A person pauses the rollout and lets it go on, which is refused where Davy was quicker: the ledger says either."""
    for command in ("pause", "resume"):
        page.get_by_role("button", name=f"{command} …").focus()
        page.keyboard.press("Enter")
        page.keyboard.type("to see what it does 🚀")
        page.keyboard.press("Tab")
        page.get_by_label("Your name").fill("ann")
        page.keyboard.press("Enter")
        expect(page.locator(".stepin output")).to_contain_text(f"{command} sent")
        line = page.locator(".ledger li", has_text=re.compile(f"{command}.*what it does 🚀 by ann"))
        expect(line).to_have_count(1, timeout=END_MS)


def _restart(demo: Demo, page: Page) -> None:
    """The console dies, and is started again by its supervisor: the page says so, comes back, and misses nothing."""
    seen = page.locator(".ledger li").count()
    os.kill(process(demo.process, "web"), signal.SIGKILL)
    expect(page.locator("#health")).to_contain_text("no connection")
    expect(page.locator("#health")).to_have_text("● live", timeout=END_MS)
    assert page.locator(".ledger li").count() >= seen
    lines = page.locator(".ledger li").all_inner_texts()
    assert len(lines) == len(set(lines)), "nothing twice"


def _as_it_is_elsewhere(address: str, opened: Open) -> None:
    """Dark and narrow, and over what the store has."""
    page = opened(f"{address}/#/e/{ID}?last=3600", 360, "dark", LOST)
    expect(page.locator(".strip .word")).to_have_text("✖ HARM")
    expect(page.get_by_role("img", name="all that the store has")).to_be_visible(timeout=END_MS)
    picture(page, "demo-dark-360", whole=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert serious(page) == []
