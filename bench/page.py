"""`python -m bench.page`: how soon the page can be used, what heap it takes and how long its frames are, in a real Chromium,
written to docs/page.md.

One experiment with 24 h of windows of 5 s on screen, from a real store and the console's memory, and a list of a thousand
experiments; both while news come. A frame is late when one task of the page's main thread takes longer than a frame of 60 Hz:
tasks are read from Chromium's own trace, with the processor's time that each took. The rest of a task is waiting for a
processor, which others have.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from bench.document import heading, rewrite
from tests.support import past
from tests.support.served import ID, WINDOW, Served, applied, crowd, now, served, story, verdict, window
from tests.support.system import program

DOCUMENT = Path(__file__).parents[1] / "docs" / "page.md"
BEGIN = "<!-- page: written by python -m bench.page -->"
EXPERIMENTS, HOURS = 1000, 24
KEPT = 900
"""Windows of each arm that the console itself still has."""
OPENINGS, SETTLE_MS, ROUNDS = 7, 3_000, 15
USABLE_MS, HEAP_BYTES, FRAME_MS = 1000.0, 60e6, 16.0
"""What is asked."""
MAIN, TASK, LEAST_MS = "CrRendererMain", "RunTask", 0.5
STATIC = Path(__file__).parents[1] / "davy" / "web" / "static"
CATEGORIES = ["devtools.timeline", "disabled-by-default-devtools.timeline"]
MOMENTS = """window.moments = (() => {
  const when = (is) => new Promise((done) => {
    const look = () => requestAnimationFrame(() => (is() ? done(performance.now()) : look()));
    look();
  });
  return Promise.all([when(() => USABLE), when(() => DRAWN)]);
})()"""
STANDING = "document.querySelector('.strip .word') && document.querySelector('.stepin button')"
DRAWN = "/from the store/.test(document.querySelector('.shown')?.textContent) && document.querySelector('.sli path')"
LISTED = "document.querySelectorAll('.row').length > 9"


@dataclass(frozen=True, slots=True)
class Seen:
    """Of one view: milliseconds until it could be used and until all of it was drawn, the greatest heap, and of each task of
    the main thread the milliseconds that it lasted and those of the processor."""

    name: str
    moments_ms: list[list[float]]
    heap_bytes: float
    tasks_ms: list[tuple[float, float]]

    def after(self, moment: int) -> float:
        """Median of the first moment or of the second."""
        return statistics.median(each[moment] for each in self.moments_ms)

    @property
    def late(self) -> int:
        """Tasks that are longer than a frame."""
        return sum(lasted > FRAME_MS for lasted, _ in self.tasks_ms)

    @property
    def longest(self) -> float:
        """Milliseconds of the processor for the longest task."""
        return max(own for _, own in self.tasks_ms)

    @property
    def good(self) -> bool:
        return self.after(0) <= USABLE_MS and self.heap_bytes <= HEAP_BYTES and self.longest <= FRAME_MS

    def cells(self) -> str:
        """As a line of the table."""
        tasks = sorted(lasted for lasted, _ in self.tasks_ms)
        return (
            f"| {self.name} | {self.after(0):.0f} ms | {self.after(1):.0f} ms | "
            f"{self.heap_bytes / 1e6:.1f} MB | {self.longest:.1f} ms | {tasks[int(0.99 * len(tasks))]:.1f} ms | "
            f"{tasks[-1]:.1f} ms | {self.late} of {len(tasks)} |"
        )


def main() -> None:
    """Measure, write, print; exit code 1 where something is not as asked."""
    load = os.getloadavg()[0]
    with (
        TemporaryDirectory(prefix="davy-page-") as folder,
        served(Path(folder)) as console,
        sync_playwright() as driver,
    ):
        end = now()
        begin = past.fill(console.config, end, HOURS)
        console.take(applied(time_us=begin))
        crowd(console, EXPERIMENTS)
        console.take(*past.windows(end - KEPT * WINDOW, end), *story(end, KEPT)[1:-3])
        browser = driver.chromium.launch(executable_path=program("chromium", "chromium"), args=["--no-sandbox"])
        span = f"{console.url}/#/e/{ID}?last={HOURS * 3600}"
        found = [
            look(browser, f"{HOURS} h of one experiment", span, STANDING, DRAWN, of_one(console, end), use),
            look(browser, f"{EXPERIMENTS:,} experiments", console.url, LISTED, LISTED, of_many(console), scroll),
        ]
        where = (
            f"Chromium {browser.version}, {os.cpu_count()} cores shared with the console and the store, load {load:.1f}"
        )
        browser.close()
    text = told(found, where)
    rewrite(BEGIN, text, DOCUMENT)
    print(text)
    sys.exit(0 if all(seen.good for seen in found) else 1)


def look(
    browser: Browser, name: str, url: str, usable: str, drawn: str, news: Iterator[None], act: Callable[[Page], None]
) -> Seen:  # fmt: skip
    """Open it several times, then watch it while `news` come and a person does something."""
    page, first = open_page(browser, url, usable, drawn)
    opened = [first]
    for _ in range(OPENINGS - 1):
        page.context.close()
        page, took = open_page(browser, url, usable, drawn)
        opened.append(took)
    page.wait_for_timeout(SETTLE_MS)
    heap, devtools = 0.0, page.context.new_cdp_session(page)
    browser.start_tracing(page=page, categories=CATEGORIES)
    for round_ in range(ROUNDS):
        next(news)
        page.wait_for_timeout(1000)
        if round_ % 3 == 2:
            act(page)
        heap = max(heap, devtools.send("Runtime.getHeapUsage")["usedSize"])  # pyright: ignore
    trace = json.loads(browser.stop_tracing())["traceEvents"]
    page.context.close()
    return Seen(name, opened, heap, tasks(trace))


def open_page(browser: Browser, url: str, usable: str, drawn: str) -> tuple[Page, list[float]]:
    """A page with a profile of its own, and after how many milliseconds it can be used, and all of it is there."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.add_init_script(MOMENTS.replace("USABLE", usable).replace("DRAWN", drawn))
    page.goto(url)
    return page, page.evaluate("window.moments")


def of_one(console: Served, end: int) -> Iterator[None]:
    """A window of each arm and a verdict each time."""
    for number in count():
        start = end + number * WINDOW
        told = verdict("CONTINUE", "INCONCLUSIVE", 10_000 + number, start + WINDOW, 2.0)
        console.take(window("control", start, 5), window("canary", start, 1, rows=100), told)
        yield


def of_many(console: Served) -> Iterator[None]:
    """Verdicts of a fiftieth of all each time."""
    for number in count():
        for index in range(number % 50, EXPERIMENTS, 50):
            spec = console.feed.state.experiments[f"service-{index:04d}"].spec
            console.take(verdict("CONTINUE", "INCONCLUSIVE", 100 + number, now(), spec=spec))
        yield


def use(page: Page) -> None:
    """As a person: go down the page, and look at the last hour or at all again."""
    page.mouse.wheel(0, 700)
    pressed = page.get_by_role("button", name="1 h", exact=True)
    wanted = "24 h" if pressed.get_attribute("aria-pressed") == "true" else "1 h"
    page.get_by_role("button", name=wanted, exact=True).click()


def scroll(page: Page) -> None:
    """Through the list."""
    page.locator(".list").hover()
    for _ in range(10):
        page.mouse.wheel(0, 1200)


def tasks(trace: list[dict[str, Any]]) -> list[tuple[float, float]]:
    """Milliseconds, and those of the processor, of each task of the page's main thread, those that do nothing left out."""
    mains = {(e["pid"], e["tid"]) for e in trace if e.get("name") == "thread_name" and e["args"]["name"] == MAIN}
    busy: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for event in trace:
        place = (event["pid"], event["tid"])
        if event.get("name") == TASK and event.get("ph") == "X" and place in mains:
            busy.setdefault(place, []).append((event["dur"] / 1000, event["tdur"] / 1000))
    most = max(
        busy.values(), key=lambda held: sum(own for _, own in held)
    )  # other pages have renderers of their own, and do nothing
    return [task for task in most if task[0] >= LEAST_MS]


def told(found: list[Seen], where: str) -> str:
    """The figures as Markdown."""
    columns = (
        "usable",
        "all drawn",
        "heap, most",
        "longest task, its own time",
        "p99, as it lasted",
        "longest",
        "longer than a frame",
    )
    lines = [*heading("on screen", columns), *(seen.cells() for seen in found)]
    asked = f"usable within {USABLE_MS:.0f} ms, below {HEAP_BYTES / 1e6:.0f} MB of JavaScript heap, {FRAME_MS:.0f} ms a frame"
    files = [file for file in STATIC.iterdir() if file.suffix in (".js", ".css", ".html")]
    size = sum(file.stat().st_size for file in files) / 1000
    return "\n".join([
        f"Asked: {asked}. Measured {datetime.now(UTC):%Y-%m-%d} by `python -m bench.page`; {where}.",
        f"Opened {OPENINGS} times with empty caches; watched for {ROUNDS} s: news each second, scrolling, other spans.",
        f"All of the page is {size:.0f} kB. Tasks are those of the page's main thread, from Chromium's trace; beyond their "
        "own time they waited for a processor.",
        "", *lines,
    ])  # fmt: skip


if __name__ == "__main__":
    main()
