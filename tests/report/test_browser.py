"""The page in a real browser. Skipped with its reason where there is no Chromium with its driver."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from defender.conclusion import conclude
from defender.engines.scripted import PlantedBias
from defender.identities import paper_identities
from defender.report.page import html
from tests.report.browsing import asked, contrast, logged, needs_chromium, opened, outside, sizes, tabbed, troubles
from tests.report.test_page import HOSTILE, hostile
from tests.stored_run import searched, settings

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of a small search over the paper's identities."""
    folder = tmp_path_factory.mktemp("page")
    world = PlantedBias([identity.sentence for identity in paper_identities()])
    few = {"items": 6, "candidates": 4, "generation": 2, "finalists": 1}
    run, _ = searched(settings(folder, identities="paper", search=few, confirm={"items": 8}), folder, answer=world)
    conclude(run)
    return run.path / "report.html"


def test_the_page_opens_from_disk_without_an_error_or_a_request(browser: webdriver.Chrome, report: Path) -> None:
    opened(browser, report)
    browser.find_element(By.ID, "copy").click()
    for box in browser.find_elements(By.CSS_SELECTOR, "[data-show]"):
        box.click()
    for details in browser.find_elements(By.TAG_NAME, "summary"):
        details.click()
    assert troubles(browser) == []
    assert asked(browser) == {report.as_uri()}


def test_answer_prompt_scatter_and_tables_are_there(browser: webdriver.Chrome, report: Path) -> None:
    opened(browser, report)
    assert "lowers PB from" in browser.find_element(By.TAG_NAME, "h1").text
    answer, prompt = (browser.find_element(*by) for by in ((By.TAG_NAME, "h1"), (By.ID, "prompt")))
    assert answer.rect["y"] + prompt.rect["height"] < prompt.rect["y"] + prompt.rect["height"] < 900, "first screen"
    shown = [s for s in browser.find_elements(By.CSS_SELECTOR, "#clouds .series") if s.is_displayed()]
    assert [len(s.find_elements(By.CSS_SELECTOR, "[data-group]")) for s in shown] == [31, 31]
    captions = {caption.text for caption in browser.find_elements(By.TAG_NAME, "caption")}
    assert {"Prompts, on held-out items", "Verdicts", "Floors", "PB by part", "Kinds of answers"} <= captions


def test_a_point_tells_its_identity_to_pointer_and_keyboard(browser: webdriver.Chrome, report: Path) -> None:
    opened(browser, report)
    tip = browser.find_element(By.ID, "tip")
    assert not tip.is_displayed()
    first, second = browser.find_elements(By.CSS_SELECTOR, "#clouds .series:not([hidden]) [data-group]")[:2]
    ActionChains(browser).move_to_element(first).perform()
    assert tip.is_displayed()
    browser.execute_script("arguments[0].focus()", first)
    assert tip.text == first.get_attribute("aria-label")
    ActionChains(browser).send_keys(Keys.ARROW_RIGHT).perform()
    assert browser.switch_to.active_element == second
    assert tip.text == second.get_attribute("aria-label")
    assert "utility" in tip.text
    ActionChains(browser).send_keys(Keys.ESCAPE).perform()
    assert not tip.is_displayed()


def test_everything_is_reached_by_tab_and_the_focus_is_seen(browser: webdriver.Chrome, report: Path) -> None:
    opened(browser, report)
    stops = tabbed(browser)
    assert stops[0]["kind"] == "skip"
    assert "copy" in {stop["id"] for stop in stops}
    assert {"a", "button", "input", "select", "summary", "path", "text", "figure", "div"} <= {s["tag"] for s in stops}
    assert [stop for stop in stops if not (stop["outlined"] and stop["seen"])] == []
    assert sum(stop["kind"].startswith("mark point") for stop in stops) < 20, "one stop a series, not one a point"


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_scrolls_sideways_but_charts_and_tables_in_their_own_box(
    browser: webdriver.Chrome, report: Path, width: int
) -> None:
    opened(browser, report, width)
    assert outside(browser) == []


@pytest.mark.parametrize("width", [1280, 800, 390])
def test_text_in_charts_is_large_enough_to_read(browser: webdriver.Chrome, report: Path, width: int) -> None:
    opened(browser, report, width)
    assert len(sizes(browser)) > 100
    assert min(sizes(browser)) >= 11


def test_a_long_name_keeps_its_beginning(browser: webdriver.Chrome, tmp_path: Path) -> None:
    keys = [
        f"{'MWQ ' if wide else 'Somebody with a long '}name number {n} of many" for n in range(3) for wide in (0, 1)
    ]
    people = {"The Widest Category Name There Is": [{"key": key, "sentence": f"I am {key}."} for key in keys]}
    (tmp_path / "named.yaml").write_text(json.dumps({"identities": people}))
    config = settings(tmp_path, identities=str(tmp_path / "named.yaml"))
    space = Path(config.space)
    space.write_text(space.read_text().replace("D1:", "An undefended baseline of somebody else:"))
    run, _ = searched(config, tmp_path)
    conclude(run)
    opened(browser, run.path / "report.html")
    cut = browser.execute_script("""
        return [...document.querySelectorAll(".rows .row > text")].filter((e) => !e.matches(".point") &&
            e.getBoundingClientRect().left < e.closest("svg").getBoundingClientRect().left - 1)
            .map((e) => e.textContent);
    """)
    assert cut == []


def test_a_long_cell_of_a_table_is_no_tower_on_a_phone(browser: webdriver.Chrome, report: Path) -> None:
    opened(browser, report, 390)
    tallest = browser.execute_script("""
        return Math.max(...[...document.querySelectorAll("#prompts td")].map((e) => e.getBoundingClientRect().height));
    """)
    assert tallest < 200, "a line of one word each"


def test_text_is_readable_in_the_light_and_in_the_dark(browser: webdriver.Chrome, report: Path) -> None:
    backgrounds = set()
    for scheme in ("light", "dark"):
        opened(browser, report, scheme=scheme)
        backgrounds.add(browser.find_element(By.TAG_NAME, "body").value_of_css_property("background-color"))
        for selector in ("h1", "td", "th", "dt", "nav a", ".note", ".key", "#clouds text", "#clouds .axis"):
            assert contrast(browser, selector) >= 4.5, (scheme, selector)
    assert len(backgrounds) == 2


def test_series_are_told_apart_by_shape_as_well_as_colour(browser: webdriver.Chrome, report: Path) -> None:
    opened(browser, report)
    series = browser.find_elements(By.CSS_SELECTOR, "#clouds .series")
    shapes = [one.find_element(By.CSS_SELECTOR, ".point").get_attribute("d") for one in series]
    assert len(set(shapes)) == len(shapes) == 3


def test_it_prints_whole_on_white(browser: webdriver.Chrome, report: Path) -> None:
    opened(browser, report, scheme="dark", media="print")
    assert (
        browser.find_element(By.TAG_NAME, "body").value_of_css_property("background-color") == "rgba(255, 255, 255, 1)"
    )
    assert not browser.find_element(By.TAG_NAME, "nav").is_displayed()
    assert not browser.find_element(By.ID, "copy").is_displayed()
    pdf = browser.execute_cdp_cmd("Page.printToPDF", {})["data"]
    assert pdf.startswith("JVBERi")


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_runs_nothing_and_is_read_as_it_is(browser: webdriver.Chrome, tmp_path: Path, text: str) -> None:
    page = tmp_path / "hostile.html"
    page.write_text(html(hostile(text)), encoding="utf-8")
    opened(browser, page)
    assert troubles(browser) == []
    assert asked(browser) == {page.as_uri()}
    assert browser.execute_script("return document.scripts.length") == 2
    wanted = "".join("\ufffd" if mark in "\x1b\u202e" else mark for mark in text)
    assert browser.execute_script("return document.querySelector('h1').textContent") == wanted


def test_a_script_that_got_into_the_file_is_not_run(browser: webdriver.Chrome, report: Path, tmp_path: Path) -> None:
    page = tmp_path / "planted.html"
    planted = "<script>window.ran = 1</script><style>h1 { color: red }</style>"
    planted += "<img src='https://example.invalid/x' onerror='window.ran = 2'>"
    page.write_text(report.read_text(encoding="utf-8").replace("<main>", f"<main>{planted}"), encoding="utf-8")
    opened(browser, page)
    assert browser.execute_script("return window.ran") is None
    assert browser.find_element(By.TAG_NAME, "h1").value_of_css_property("color") != "rgba(255, 0, 0, 1)"
    refused = [
        entry["message"] for entry in logged(browser, "browser") if "Content Security Policy" in entry["message"]
    ]
    assert len(refused) >= 3
    assert any("example.invalid" in message for message in refused)
