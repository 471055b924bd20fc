"""The page of a report in a real browser: it opens, is searched and filtered, and runs no script but its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.registry import Registry
from harness.report.html import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
PATIENCE = 100_000
"""Milliseconds: a busy machine is no failure."""

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (Debian: apt-get install chromium)"),
    pytest.mark.timeout(900),
]


class Tab:
    """A page of the browser with what went wrong in it."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.errors: list[str] = []
        self.requests: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: self.requests.append(request.url))

    def names(self) -> list[str]:
        return self.page.locator(".dialogue .name").all_inner_texts()

    def told(self, text: str) -> None:
        """Waits until the number of dialogues is told so."""
        from playwright.sync_api import expect

        expect(self.page.locator("#status")).to_have_text(text, timeout=PATIENCE)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        made = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=PATIENCE)
        yield made
        made.close()


@pytest.fixture(scope="module")
def pages(registry: Registry, folders: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("pages")
    write_report(registry, folders[:1], root / "one.html")
    write_report(registry, folders, root / "two.html")
    return {"one": root / "one.html", "two": root / "two.html"}


def opened(browser: Any, page: Path, **settings: Any) -> Tab:
    tab = Tab(browser.new_page(**settings))
    tab.page.set_default_timeout(PATIENCE)
    tab.page.goto(page.as_uri())
    tab.page.wait_for_selector("html[data-ready]")
    return tab


def test_dialogues_are_listed_searched_filtered_and_opened(browser: Any, pages: dict[str, Path]) -> None:
    tab = opened(browser, pages["one"])
    page = tab.page
    tab.told("70 dialogues")
    assert len(tab.names()) == 50
    page.click("#next")
    assert tab.names() == [f"s{n:03}" for n in range(50, 70)]
    page.keyboard.press("/")
    page.keyboard.type("QUAGGA wish")
    tab.told("1 of 70 dialogues")
    assert tab.names() == ["s041"]
    page.fill("#query", "")
    tab.told("70 dialogues")
    page.select_option("#stop", label="quit")
    tab.told("1 of 70 dialogues")
    assert tab.names() == ["s009"]
    page.select_option("#stop", label="accepted")
    tab.told("34 of 70 dialogues")  # even numbers but 6
    page.select_option("#stop", label="any")
    page.select_option("#outcome", label="with a fault")
    tab.told("2 of 70 dialogues")
    assert tab.names() == ["s005", "s006"]
    page.select_option("#outcome", label="any outcome")
    # By the keyboard alone: what is focused opens.
    page.locator(".dialogue summary").nth(3).focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".turn")
    shown = page.locator(".opened").inner_text()
    assert "target at rank 4" in shown
    assert "looked for: Film 3" in shown
    assert page.locator(".opened li.target").count() == 3
    reasoning = page.locator(".reasoning").first
    assert not reasoning.is_visible()
    page.get_by_text("reasoning", exact=True).first.click()
    assert reasoning.is_visible()
    # What was said is there as text, letter by letter, and has done nothing.
    assert "</script><script>window.broken='reply'</script><img src=x onerror=" in shown
    assert "<b onmouseover=window.broken='title'>" in shown
    assert page.locator("#list img, #list b, #list script").count() == 0
    assert page.evaluate("window.broken") is None
    assert tab.errors == []
    assert tab.requests == [pages["one"].as_uri()]
    page.close()


def test_two_runs_stand_side_by_side_and_the_page_fits_a_phone(browser: Any, pages: dict[str, Path]) -> None:
    tab = opened(browser, pages["two"], viewport={"width": 360, "height": 740}, color_scheme="dark")
    page = tab.page
    tab.told("70 dialogues")
    page.select_option("#sort", label="that differ most")
    # Items 0 to 2 stand in the first run's lists alone; a list that begins with the target differs most.
    first = tab.names()[0]
    assert int(first[1:]) % 7 == 0
    page.locator(".dialogue summary").first.click()
    page.wait_for_selector(".turn")
    assert page.locator(".opened h3").all_inner_texts() == ["hostile", "later"]
    boxes = [side.bounding_box() for side in page.locator(".sides > div").all()]
    assert boxes[0]["x"] == boxes[1]["x"], "on a phone they stand below each other"
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.set_viewport_size({"width": 1200, "height": 800})
    boxes = [side.bounding_box() for side in page.locator(".sides > div").all()]
    assert boxes[0]["y"] == boxes[1]["y"]
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="light")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != ground
    assert page.evaluate("window.broken") is None
    assert tab.errors == []
    page.close()
