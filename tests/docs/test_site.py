"""The documentation site is built without a warning, and no link in any Markdown file leads nowhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).parents[2]
LISTED = subprocess.run(["git", "ls-files", "*.md"], cwd=HOME, check=True, capture_output=True, text=True).stdout
PAGES = sorted(LISTED.split())
_CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(text: str) -> set[str]:
    """Of headings, as code hosts make them."""
    titles = re.findall(
        r"^#{1,6} (.+)$", _CODE.sub(lambda found: found[0] if "\n" not in found[0] else "", text), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES)
def test_no_link_leads_nowhere(page: str) -> None:
    text = (HOME / page).read_text()
    for link in _LINK.findall(_CODE.sub("", text)):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (HOME / page).parent / place if place else HOME / page
        assert target.exists(), f"{page} links to {link}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target.read_text()), f"{page} links to {link}"


def test_the_site_is_built_and_has_every_page(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--quiet", "--builder", "html", "docs", str(tmp_path)]
    done = subprocess.run(build, cwd=HOME, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    pages = [Path(page) for page in PAGES if page.startswith("docs/")]
    missing = [page for page in pages if not (tmp_path / page.relative_to("docs")).with_suffix(".html").exists()]
    assert not missing
    start = (tmp_path / "index.html").read_text()
    assert all(
        f'href="{page.stem}.html"' in start for page in pages if page.parent.name == "docs" and page.stem != "index"
    )
