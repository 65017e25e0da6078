"""The exported page in Chromium, from a file: search, concepts, points, documents, without script too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_magics.tasks.concepts.explorer import static
from llm_magics.tasks.concepts.explorer.export.style import style
from tests.widgets.test_figures import EVIL, themes

webdriver = pytest.importorskip("selenium.webdriver")


@pytest.fixture
def browser() -> Iterator[Any]:
    """Chromium without a network; the test is skipped where there is none."""
    import shutil

    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.binary_location = binary
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    found.set_network_conditions(offline=True, latency=0, throughput=0)
    try:
        yield found
    finally:
        found.quit()


@pytest.mark.checklist("W14")
def test_the_page_searches_chooses_and_opens(browser: Any, tmp_path: Path) -> None:
    """What is found lights up and is listed; a concept lists its documents; a point opens its own."""
    made = themes(120, 5, EVIL)
    made.explore(slice="side", interactive=False).to_html(tmp_path / "page.html")
    browser.get((tmp_path / "page.html").as_uri())

    def count(selector: str) -> int:
        return int(browser.execute_script("return document.querySelectorAll(arguments[0]).length", selector))

    assert (
        count("svg.map use") == 120
        and count("#llmx-documents .doc") == 20
        and count(".unscripted:not([hidden])") == 0
    )
    search = browser.find_element("id", "llmx-search")
    search.send_keys("document 11")
    assert "11 to 11" not in browser.find_element("id", "llmx-said").text
    found = int(browser.find_element("id", "llmx-said").text.split(" of ")[1])
    assert found == sum("11" in f"document {i}" for i in range(120))
    assert count("svg.map use.on") == found and count("#llmx-documents mark") >= found
    search.clear()
    search.send_keys(" ")
    buttons = browser.find_elements("css selector", "button.concept")
    buttons[1].click()
    matching = len(made.rows(made.names[1]))
    assert browser.find_element("id", "llmx-said").text.endswith(f"of {matching}")
    assert buttons[1].get_attribute("aria-pressed") == "true" and count("svg.map use.on") == matching
    browser.execute_script(
        "document.querySelector('use[data-i=\"7\"]').dispatchEvent(new MouseEvent('click', {bubbles: true}))"
    )
    assert browser.find_element("id", "llmx-head").text.startswith("Document 7")
    assert (
        browser.execute_script("return document.querySelectorAll('.llmx-page script, .llmx-page b b').length")
        == 0
    )
    wide = "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    for width in (500, 760, 1400):
        browser.set_window_size(width, 900)
        assert browser.execute_script(wide), width
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


@pytest.mark.checklist("W14", "W6")
def test_without_script_the_page_still_has_everything(browser: Any, tmp_path: Path) -> None:
    """Map, concepts with counts, their best documents; search is not there, since it would do nothing."""
    themes(60, 3).explore(interactive=False).to_html(tmp_path / "page.html")
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get((tmp_path / "page.html").as_uri())
    assert not browser.find_element("id", "llmx-search").is_displayed()
    assert len(browser.find_elements("css selector", ".unscripted details")) == 3


@pytest.mark.checklist("W14", "W10")
def test_the_twin_has_the_map_and_stays_small() -> None:
    """A thousand points at most, names on them, no script; many documents make a saved notebook no larger."""
    page = static.summary(themes(3000, 5), "side")
    assert page.count("<use ") <= 1000 and page.count("<tspan") >= 5
    assert "<script" not in page and len(page) < 200_000
    assert "/*" not in style("twin.css") and "--llmx-ground" in style("twin.css")
