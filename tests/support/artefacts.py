"""What a run of the tests leaves for people to look at: the folder `.artefacts`, kept until the next run replaces it."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

ROOT = Path(__file__).parents[2] / ".artefacts"


def picture(page: Page, name: str, *, whole: bool = False) -> None:
    """Keep what is on screen, or the `whole` page, with the cards that a browser draws only once they are scrolled to."""
    folder = ROOT / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    if whole:
        page.evaluate("for (const card of document.querySelectorAll('.sli')) card.style.contentVisibility = 'visible'")
    page.screenshot(path=folder / f"{name}.png", full_page=whole)
