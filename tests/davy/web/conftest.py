"""A real Chromium, and pages of it whose every complaint fails the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, FloatRect, Locator, Page, sync_playwright

from tests.support.served import Served, served
from tests.support.system import program, until

WAIT_MS = 20_000
Open = Callable[..., Page]


def serious(page: Page) -> list[tuple[str, str, str]]:
    """What axe finds that is serious or critical: rule, element, what to do."""
    return [
        (rule["id"], node["html"][:200], node.get("failureSummary", "")[:300])
        for rule in Axe().run(page).response["violations"]
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


def box(locator: Locator) -> FloatRect:
    """Where it lies; asked again while it is drawn anew and lies nowhere."""
    found: list[FloatRect] = []
    until(lambda: found.extend(filter(None, [locator.bounding_box()])) or bool(found), WAIT_MS / 1000, "it was drawn")
    return found[-1]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Of one module only: while it is open an event loop runs in this thread, and others want one of their own."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program("chromium", "chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Served]:
    """A console without a broker behind it."""
    with served(tmp_path) as running:
        yield running


@pytest.fixture
def opened(chromium: Browser) -> Iterator[Open]:
    """`opened(url, width=, theme=, complaints=)`: a page of its own profile; `complaints` may be heard."""
    pages: list[tuple[Page, list[str], tuple[str, ...]]] = []

    def open_page(url: str, width: int = 1280, theme: str = "light", complaints: tuple[str, ...] = ()) -> Page:
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)  # pyright: ignore
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        pages.append((page, said, complaints))
        page.goto(url)
        return page

    yield open_page
    found = [text for _, said, allowed in pages for text in said if not any(part in text for part in allowed)]
    for page, _, _ in pages:
        page.context.close()
    assert found == [], "the browser's console complains"
