"""What the tests of the pages do with a real browser: open a page, read what it logged, press Tab, look at colours."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
STOPS = 400
"""Presses of Tab after which a page that has not come round is a trap."""

needs_chromium = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no chromium with chromedriver on the PATH (apt-get install chromium-driver)"
)


def opened(browser: webdriver.Chrome, page: Path, width: int = 1280, scheme: str = "light", media: str = "") -> None:
    """Open a page at a width, and forget what the browser logged before."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
    browser.get("about:blank")
    for log in ("browser", "performance"):
        logged(browser, log)
    browser.get(page.as_uri())


def logged(browser: webdriver.Chrome, log: str) -> list[dict[str, Any]]:
    """Return what a log of the browser has since it was last read."""
    entries: list[dict[str, Any]] = browser.get_log(log)  # type: ignore[no-untyped-call]
    return entries


def asked(browser: webdriver.Chrome) -> set[str]:
    """Return the URLs asked for since the page was opened, data: URLs left out."""
    events = [json.loads(entry["message"])["message"] for entry in logged(browser, "performance")]
    sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return {url for params in sent if not (url := params["request"]["url"]).startswith("data:")}


def tabbed(browser: webdriver.Chrome) -> list[dict[str, Any]]:
    """Press Tab until the page has come round; return what had the focus, and whether that could be seen."""
    stops: list[dict[str, Any]] = []
    look = """
        const e = document.activeElement, s = getComputedStyle(e), box = e.getBoundingClientRect();
        return {tag: e.tagName.toLowerCase(), id: e.id, kind: e.getAttribute("class") || "", text: e.textContent.trim(),
                outlined: s.outlineStyle !== "none" || parseFloat(s.strokeWidth) >= 3 || e.matches("text.point"),
                seen: box.bottom > 0 && box.top < innerHeight};
    """
    for _ in range(STOPS):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        here = browser.execute_script(look)
        if here["tag"] == "body" or (stops and here["kind"] == "skip"):
            return stops
        stops.append(here)
    raise AssertionError(f"Tab did not leave the page after {STOPS} presses")


def troubles(browser: webdriver.Chrome) -> list[dict[str, Any]]:
    """Return what the page made the console say since it was opened, plain notes left out."""
    return [entry for entry in logged(browser, "browser") if entry["level"] != "INFO"]


def outside(browser: webdriver.Chrome) -> list[str]:
    """Open all that can be opened; return what is wider than the window and in no box of its own that scrolls."""
    browser.execute_script("for (const each of document.querySelectorAll('details')) each.open = true")
    wide: list[str] = browser.execute_script("""
        const wide = (e) => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1;
        const found = [...document.querySelectorAll("main *")].filter((e) => !e.closest(".scroll") && wide(e));
        if (document.documentElement.scrollWidth > innerWidth) found.push(document.documentElement);
        return found.map((e) => e.outerHTML.slice(0, 90));
    """)
    return wide


def sizes(browser: webdriver.Chrome) -> list[float]:
    """Return the height of every text in a chart, in pixels of the screen: the font's, as the drawing is scaled."""
    found: list[float] = browser.execute_script("""
        return [...document.querySelectorAll("figure svg text")].filter((e) => e.checkVisibility()).map((e) =>
            parseFloat(getComputedStyle(e).fontSize) * e.closest("svg").getScreenCTM().a);
    """)
    return found


def contrast(browser: webdriver.Chrome, selector: str) -> float:
    """Return the contrast ratio (WCAG 2) of a text to the page behind it."""
    ratio: float = browser.execute_script(
        """
        const light = (css) => { const c = css.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255)
            .map((v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
            return .2126 * c[0] + .7152 * c[1] + .0722 * c[2]; };
        const e = document.querySelector(arguments[0]), s = getComputedStyle(e);
        const a = light(e instanceof SVGElement ? s.fill : s.color);
        const b = light(getComputedStyle(document.body).backgroundColor);
        return (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
        """,
        selector,
    )
    return ratio
