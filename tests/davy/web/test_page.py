"""The page in a real browser over a console that answers on a real port."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from davy.web.feed import Feed
from schemas.control import Annotation, Command, Control
from schemas.verdict import Verdict
from streams import kafka
from streams.embedded import EmbeddedBroker
from streams.topics import ensure_topics
from tests.davy.web.conftest import WAIT_MS, Open, box, serious
from tests.support.artefacts import picture
from tests.support.served import (
    ID,
    SPEC,
    WINDOW,
    Served,
    applied,
    crowd,
    decision,
    now,
    served,
    story,
    verdict,
    weights,
    window,
)

EXPERIMENT = f"/#/e/{ID}"
HOSTILE = (
    "<img src=x onerror='window.hit=1'><script>window.hit=1</script> 🚀 \u202eevil\u202c \u2066x " + "long-" * 2000
)
LOST = ("ERR_", "Failed to load")
expect.set_options(timeout=WAIT_MS)


def funnel(page: Page, arm: str) -> Locator:
    """Where the page says how many events were used: drawn a frame or two after the span has changed."""
    return page.get_by_role("row", name=re.compile(f"^{arm}")).last.locator("td").last


def test_a_release_goes_bad_before_ones_eyes(console: Served, opened: Open) -> None:
    end = now()
    told = story(end)
    at = next(i for i, record in enumerate(told) if isinstance(record, Verdict))
    console.take(*told[:at])
    page = opened(console.url + EXPERIMENT)
    expect(page.locator(".strip")).to_contain_text("WAITING")
    console.take(*told[at:-3])
    expect(page.locator(".strip .word")).to_have_text("◔ WATCHING")
    expect(page.locator(".needed")).to_contain_text("errors about 2 min (5200 requests)")
    console.take(*told[-3:])
    expect(page.locator(".strip .word")).to_have_text("✖ HARM")
    expect(page.locator(".strip .does")).to_contain_text("ROLLBACK: Davy gives control all traffic")
    expect(page.locator(".fresh")).to_contain_text("final")
    expect(page.locator(".sli")).to_have_count(len(SPEC.slis))
    errors = page.get_by_role("region", name="SLI errors")
    expect(errors.get_by_role("img", name="Evidence of harm of errors")).to_contain_text("harm at 400")
    expect(errors.get_by_role("img", name="error ratio of each arm")).to_contain_text("database failover")
    expect(errors.get_by_role("img", name="Effect on errors")).to_contain_text("allowed +0.5 pp")
    expect(page.locator(".ledger li").first).to_contain_text("rollback canary: errors rose")
    assert console.feed.state.experiments[ID].weights == {"control": 1.0, "canary": 0.0}
    expect(page.locator(".shares")).to_have_text("control 100 %")


def test_a_verdict_is_explained_and_its_link_shows_the_same(console: Served, opened: Open) -> None:
    console.take(*story(now()))
    page = opened(console.url + EXPERIMENT)
    page.locator(".flag.ROLLBACK").click()
    why = page.locator("section.why")
    expect(why).to_contain_text("Why ROLLBACK at")
    expect(why).to_contain_text(f"davy explain {ID}-24")
    expect(why.get_by_role("row", name=re.compile("^errors"))).to_contain_text("of 400")
    assert f"v={ID}-24" in page.url
    page.reload()
    expect(why).to_contain_text("Why ROLLBACK at")
    why.get_by_role("button", name="earlier").click()
    expect(why).to_contain_text("Why CONTINUE at")
    page.keyboard.press("Escape")
    expect(why).to_have_count(0)
    assert "v=" not in page.url


def test_dragging_over_a_chart_looks_closer(console: Served, opened: Open) -> None:
    console.take(*story(now()))
    page = opened(console.url + EXPERIMENT)
    expect(page.locator(".timeline svg")).to_be_visible()
    expect(funnel(page, "control")).to_have_text("24,000")
    chart = box(page.locator(".timeline svg"))
    page.mouse.move(chart["x"] + chart["width"] * 0.5, chart["y"] + 50)
    page.mouse.down()
    page.mouse.move(chart["x"] + chart["width"] * 0.75, chart["y"] + 50, steps=4)
    page.mouse.up()
    expect(page.get_by_role("button", name="everything")).to_have_attribute("aria-pressed", "false")
    assert "from=" in page.url
    expect(funnel(page, "control")).to_have_text(re.compile(r"^[4-8],\d{3}$"))
    page.go_back()
    expect(page.get_by_role("button", name="everything")).to_have_attribute("aria-pressed", "true")
    expect(funnel(page, "control")).to_have_text("24,000")


def test_a_restart_leaves_no_gap_and_no_duplicate(console: Served, opened: Open) -> None:
    end = now()
    told = story(end)
    console.take(*told[:-3])
    page = opened(console.url + EXPERIMENT, complaints=LOST)
    expect(page.locator(".ledger li")).to_have_count(2)
    console.stop()
    expect(page.locator("#health")).to_contain_text("no connection")
    fresh = Feed(console.config, console.feed._halt)  # a console that starts knows nothing yet
    console.start(fresh)
    for record in told[:2]:
        console.take(record)
    expect(page.locator("#health")).not_to_contain_text("no connection")
    assert page.locator(".flag").count() >= 1, "what was known stays on the page"
    console.take(*told[2:])
    console.take(*told)  # and everything once more
    console.take(window("control", end, 4), replace(window("control", end, 5, rows=1200), revision=2))
    expect(page.locator(".strip .word")).to_have_text("✖ HARM")
    expect(page.locator(".ledger li")).to_have_count(3)
    expect(page.get_by_role("row", name=re.compile("^control")).last).to_contain_text("25,200")


@pytest.mark.parametrize("width", [1280, 360])
def test_hostile_text_is_only_text(console: Served, opened: Open, width: int) -> None:
    end = now()
    console.take(*story(end), verdict("HOLD", "INVALID", 90, end + WINDOW, reason=HOSTILE))
    console.take(decision("hold", 0.0, end + WINDOW, 9, HOSTILE, "REFUSED", HOSTILE[:900]))
    console.take(Control("annotations", end, "http", "a", Annotation(HOSTILE, ())))
    console.take(Control(ID, end, HOSTILE[:900], HOSTILE, Command("c1", "pause")))
    known = console.feed.state.experiments[ID]
    arms = {name: arm.model_copy(update={"version": HOSTILE[:250]}) for name, arm in known.spec.variants.items()}
    known.spec = known.spec.model_copy(update={"hypothesis": HOSTILE, "variants": arms, "owner": HOSTILE[:300]})
    for address in (EXPERIMENT + f"?v={ID}-90", "/"):
        page = opened(console.url + address, width=width)
        expect(page.locator("main")).to_contain_text("<img src=x")
        assert page.evaluate("window.hit") is None
        assert page.locator("main img, main script").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing pushes the page aside"


def test_of_two_people_one_wins_and_the_other_is_told(tmp_path: Path, tansu: EmbeddedBroker, opened: Open) -> None:
    with served(tmp_path, token="s3cret", kafka=tansu.bootstrap) as console:
        ensure_topics(console.config)
        console.take(*story(now())[:-3])
        pages = [opened(console.url + EXPERIMENT, complaints=("401", "409")) for _ in range(2)]
        for page, name, what in zip(pages, ("ann", "bob"), ("pause", "roll back"), strict=True):
            page.get_by_role("button", name=f"{what} …").click()
            expect(page.locator(".preview").first).to_contain_text("Traffic now: control 90 %, canary 10 %.")
            page.get_by_label("Reason").fill(f"{name} looks into it")
            page.get_by_label("Your name").fill(name)
            page.get_by_role("button", name=f"{what} now").click()
            expect(page.get_by_role("alert")).to_contain_text("this needs the token")
            page.get_by_label("Token").fill("s3cret")
        expect(pages[1].locator(".preview").last).to_contain_text("control (2.3.1) gets 100 %, canary 0 %")
        pages[0].get_by_role("button", name="pause now").click()
        expect(pages[0].locator(".stepin output")).to_contain_text("pause sent")
        pages[1].get_by_role("button", name="roll back now").click()
        expect(pages[1].get_by_role("alert")).to_contain_text("ann asked for pause at")
        (message,) = kafka.to_end(console.config, console.config.topic("control"), "test")
        record = Control.decode(message.value() or b"")
        assert (record.actor, record.reason) == ("ann", "ann looks into it")
        pages[1].get_by_role("button", name="cancel").click()
        expect(pages[1].locator(".stepin")).to_contain_text("last asked: pause by ann")


def test_a_thousand_experiments_by_keyboard(console: Served, opened: Open) -> None:
    crowd(console, 1000)
    console.take(*story(now()))
    page = opened(console.url)
    expect(page.get_by_role("button", name="all 1001")).to_be_visible()
    assert page.locator(".row").count() < 60, "only what is seen exists"
    expect(page.locator(".row").first).to_contain_text("✖ HARM")
    picture(page, "thousand")
    page.locator(".list").focus()
    page.keyboard.press("End")
    expect(page.locator(".row a:focus")).to_contain_text("✔ HEALTHY")
    page.keyboard.press("Home")
    expect(page.locator(".row a:focus")).to_contain_text(ID)
    page.keyboard.press("ArrowDown")
    expect(page.locator(".row a:focus")).to_contain_text("service-0004")
    page.keyboard.press("/")
    page.keyboard.type("0999")
    expect(page.locator(".row")).to_have_count(1)
    assert "find=0999" in page.url
    page.locator(".list").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("service-0999")
    page.go_back()
    expect(page.locator(".row")).to_have_count(1)
    page.get_by_role("searchbox").fill("")
    console.take(verdict("ROLLBACK", "HARM", 9, now(), spec=console.feed.state.experiments["service-0000"].spec))
    expect(page.get_by_role("button", name="HARM 202")).to_be_visible()


def test_stepping_in_takes_no_mouse(console: Served, opened: Open) -> None:
    console.take(*story(now()))
    page = opened(console.url + EXPERIMENT)
    button = page.get_by_role("button", name="pause …")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Reason")).to_be_focused()
    page.keyboard.press("Escape")
    expect(button).to_be_focused()
    console.take(decision("hold", 0.0, now() + WINDOW, 9, "later"))
    expect(page.locator(".ledger li")).to_have_count(4)
    expect(button).to_be_focused()
    page.keyboard.press("u")
    expect(page.locator(".row")).to_have_count(1)


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 1280), ("light", 360), ("dark", 360)])
def test_axe_finds_nothing_serious(console: Served, opened: Open, theme: str, width: int) -> None:
    console.take(*story(now()))
    page = opened(console.url, width, theme)
    expect(page.locator(".row")).to_have_count(1)
    for name, address in (("overview", "#/"), ("experiment", f"#/e/{ID}?v={ID}-24"), ("dialog", "")):
        if name == "dialog":
            page.get_by_role("button", name="roll back …").click()
        else:
            page.goto(f"{console.url}/{address}")
            page.locator(".row, section.why").first.wait_for()
        picture(page, f"{name}-{theme}-{width}", whole=name == "experiment")
        assert serious(page) == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_freshness_is_by_the_consoles_clock(console: Served, opened: Open) -> None:
    console.take(*story(now())[:6], verdict("CONTINUE", "INCONCLUSIVE", 50, now()))
    page = opened(console.url)
    page.add_init_script("const real = Date.now; Date.now = () => real() + 3600e3")
    page.goto(console.url + EXPERIMENT)
    page.reload()
    expect(page.locator(".fresh")).to_contain_text("ago, live")
    assert page.evaluate("Date.now()") > now() / 1000 + 3_000_000


def test_a_link_to_nothing_says_so(console: Served, opened: Open) -> None:
    page = opened(f"{console.url}/#/e/nobody", complaints=LOST)
    expect(page.locator("main")).to_contain_text("there is no experiment 'nobody'")
    console.take(applied(), weights(0.1, 0, 2))
    page.goto(f"{console.url}/#/e/{ID}")
    expect(page.locator("h1")).to_have_text(ID)
