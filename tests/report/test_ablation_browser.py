"""The ablation's page in a real browser. Skipped with its reason where there is no Chromium with its driver."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from defender.reckoning import conclude
from defender.report.ablation import ablation_html
from tests.ablated_run import ablated, opened, parent
from tests.report import browsing
from tests.report.browsing import asked, contrast, needs_chromium, outside, tabbed, troubles
from tests.report.test_ablation import hostile
from tests.report.test_page import HOSTILE

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of an ablation with every kind of change, a shorter prompt and Shapley values."""
    at = opened(parent(tmp_path_factory.mktemp("ablated")))
    ablated(at)
    conclude(at.folder)
    return at.folder.path / "ablation.html"


def test_it_opens_from_disk_without_an_error_or_a_request(browser: webdriver.Chrome, report: Path) -> None:
    browsing.opened(browser, report)
    browser.find_element(By.ID, "copy").click()
    for details in browser.find_elements(By.TAG_NAME, "summary"):
        details.click()
    assert troubles(browser) == []
    assert asked(browser) == {report.as_uri()}


def test_the_answer_is_in_words_and_every_clause_has_its_verdict(browser: webdriver.Chrome, report: Path) -> None:
    browsing.opened(browser, report)
    answer = browser.find_element(By.TAG_NAME, "h1")
    assert "needed: equal, ignore; no detectable loss: tone." in answer.text
    assert browser.find_element(By.ID, "prompt").rect["y"] < 900, "the shorter prompt is on the first screen"
    rows = browser.find_elements(By.CSS_SELECTOR, "#left-out tbody tr")
    told = {cells[0].text: cells[1].text for row in rows if (cells := row.find_elements(By.TAG_NAME, "td"))}
    assert told == {"equal": "needed", "ignore": "needed", "tone": "no detectable loss"}
    assert all(row.rect["height"] < 60 for row in rows), "a row is a line or two"
    browser.find_element(By.CSS_SELECTOR, "#left-out summary").click()
    assert "difference of squares" in browser.find_element(By.CSS_SELECTOR, "#left-out dd").text


def test_everything_is_reached_by_tab_and_the_focus_is_seen(browser: webdriver.Chrome, report: Path) -> None:
    browsing.opened(browser, report)
    stops = tabbed(browser)
    assert stops[0]["kind"] == "skip"
    assert "copy" in {stop["id"] for stop in stops}
    assert {"a", "button", "summary", "path", "figure", "div", "pre"} <= {stop["tag"] for stop in stops}
    assert [stop for stop in stops if not (stop["outlined"] and stop["seen"])] == []


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_scrolls_sideways_but_charts_and_tables_in_their_own_box(
    browser: webdriver.Chrome, report: Path, width: int
) -> None:
    browsing.opened(browser, report, width)
    assert outside(browser) == []


def test_at_a_desks_width_no_table_needs_to_scroll(browser: webdriver.Chrome, report: Path) -> None:
    browsing.opened(browser, report)
    assert browser.execute_script("""
        return [...document.querySelectorAll("div.scroll")].filter((e) => e.scrollWidth > e.clientWidth).length;
    """) == 0  # fmt: skip


def test_text_is_readable_in_the_light_and_in_the_dark(browser: webdriver.Chrome, report: Path) -> None:
    backgrounds = set()
    for scheme in ("light", "dark"):
        browsing.opened(browser, report, scheme=scheme)
        backgrounds.add(browser.find_element(By.TAG_NAME, "body").value_of_css_property("background-color"))
        for selector in ("h1", "td", "th", "dt", "nav a", ".note", ".key", "#credits text", "#credits .axis"):
            assert contrast(browser, selector) >= 4.5, (scheme, selector)
    assert len(backgrounds) == 2


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_runs_nothing_and_is_read_as_it_is(browser: webdriver.Chrome, tmp_path: Path, text: str) -> None:
    page = tmp_path / "hostile.html"
    page.write_text(ablation_html(hostile(text)), encoding="utf-8")
    browsing.opened(browser, page, 390)
    assert troubles(browser) == []
    assert asked(browser) == {page.as_uri()}
    assert outside(browser) == []
    assert browser.execute_script("return document.scripts.length") == 2
    wanted = "".join("\ufffd" if mark in "\x1b\u202e" else mark for mark in text)
    for place in ("h1", "#left-out td", "#left-out dd", "#methods dd"):
        assert browser.execute_script("return document.querySelector(arguments[0]).textContent", place) == wanted
