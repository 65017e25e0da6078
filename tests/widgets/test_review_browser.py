"""The review in JupyterLab in real Chromium, by mouse and by keys, one label a row and several."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.widgets.axe import faults
from tests.widgets.lab import Lab, lab

PREPARE = """
%load_ext llm_magics
import pandas as pd
texts = ['<b id=evil>bold</b> the team won'] + [f'text {i} about money' for i in range(24)]
done = pd.DataFrame({'text': texts, 'topic': ['sport', 'money'] * 12 + [None],
                     'topic_confidence': [i / 25 for i in range(25)],
                     'topics': [['sport'], ['money', 'war'], []] * 8 + [None]})
many = pd.DataFrame({'text': [f'text {i}' for i in range(200)], 'topic': ['sport', 'money'] * 100,
                     'topic_confidence': [i / 200 for i in range(200)]})
""".strip()
ONE = "%llm review done.topic --on text --grid -o r"
SEVERAL = "%llm review done.topics --on text --labels sport,money,war --grid -o m"
CARDS = "%llm review many.topic --on text -o c"


@pytest.mark.checklist("W7", "X4", "W5", "T2", "W10")
@pytest.mark.timeout(400)
def test_labels_are_reviewed_by_mouse_and_by_keys(tmp_path: Path) -> None:
    """What is done is in Python at once and shown; nothing in a text runs as HTML."""
    with lab(tmp_path, [PREPARE, ONE, SEVERAL]) as page:
        page.run()
        page.until(lambda: len(page.find(".llmx-review-grid tbody tr")) == 20)
        one_label_a_row(page)
        several_labels_a_row(page)
        the_grids_have_no_faults(page)
        the_file_keeps_the_table(page)


def focus(page: Lab, number: int) -> Any:
    """The part of this review that takes keys, in sight and focused."""
    box = page.find('[role="application"]')[number]
    page.js("arguments[0].scrollIntoView({block: 'start'}); arguments[0].focus()", box)
    return box


def one_label_a_row(page: Lab) -> None:
    """Least certain first; a choice, a key, a whole page; the same rows are seen once."""
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import Select

    assert "1-9 label" in focus(page, 0).accessible_name
    assert len([b for b in page.find("button") if b.text == "Accept"]) == 20
    assert not page.find("#evil"), "a text's markup is text"
    assert page.text().count("text 3 about money") == 2, "once a review: its static table is out of sight"
    names = {e.accessible_name for e in page.find(".llmx-review-select")}
    assert {"Label of row 24", "Label of row 0"} <= names and all(
        name.startswith("Label of row") for name in names
    )

    # The row without a label comes first, then by rising confidence.
    first = page.find(".llmx-review-select")[0]
    assert Select(first).first_selected_option.text == "no label"
    Select(first).select_by_visible_text("1 sport")
    page.expect("r.gold", "{24: 'sport'}")

    focus(page, 0)
    page.keys(Keys.ARROW_DOWN, Keys.ARROW_UP, "2")
    page.expect("r.gold", "{24: 'sport', 0: 'money'}")
    page.keys(Keys.ENTER)
    page.expect("r.gold", "{24: 'sport', 0: 'money', 1: 'money'}")
    page.keys("u")
    page.expect("len(r.gold)", "2")
    press(page, 0, "Accept page")
    page.expect("len(r.gold)", "10")
    page.until(lambda: "10 of 25 rows reviewed" in page.text())
    page.picture("review")


def press(page: Lab, number: int, text: str) -> None:
    """A button of this review by its text."""
    root = page.find(".llmx-review")[number]
    found = [b for b in root.find_elements("css selector", "button") if b.text.strip() == text]
    page.js("arguments[0].click()", found[0])


def several_labels_a_row(page: Lab) -> None:
    """Keys and switches put one label on or off and stay on the row; Enter says that the set is right."""
    from selenium.webdriver.common.keys import Keys

    assert "on or off" in focus(page, 1).accessible_name
    page.keys("1", "3")
    page.expect("m.gold", "{24: ('sport', 'war')}")
    page.until(lambda: "1 sport ✓" in page.text() and "3 war ✓" in page.text())
    page.keys("1", Keys.ARROW_DOWN, Keys.ENTER, "0")
    page.expect("m.gold", "{24: ('war',), 0: ('sport',), 1: ()}")
    page.keys("u", Keys.ENTER)
    page.expect("m.gold", "{24: ('war',), 0: ('sport',), 1: ('money', 'war')}")
    money = [b for b in page.find(".llmx-review-switches button") if b.text.startswith("2 money")]
    page.js("arguments[0].click()", money[3])
    page.expect("m.gold[2], m.df['topics'][2]", "('money',) ['money']")
    page.until(lambda: "4 of 25 rows reviewed, 2 corrected" in page.text())
    page.picture("review-several")


def the_grids_have_no_faults(page: Lab) -> None:
    """Neither with one label a row nor with several, light and dark; nothing scrolls sideways."""
    for theme in ("Dark", "Light"):
        page.command("apputils:change-theme", {"theme": f"JupyterLab {theme}"})
        page.until(lambda theme=theme: len(page.find(f'.llmx-root[data-theme="{theme.lower()}"]')) == 2)
        assert faults(page, ".llmx-root") == []
    wide = "return [...document.querySelectorAll('.llmx-review-grid')].every((one) => one.scrollWidth <= one.clientWidth + 1)"
    page.js("window.jupyterapp.shell.collapseLeft()")
    for width in (700, 2000, 1500):
        page.driver.set_window_size(width, 1150)
        page.until(lambda: page.js(wide))


def the_file_keeps_the_table(page: Lab) -> None:
    """Saved, the notebook holds the rows as plain HTML; opened again without its kernel, that is what is seen."""
    page.command("docmanager:save")
    saved = page.folder / "n.ipynb"
    page.until(lambda: "Least certain first" in saved.read_text())
    assert "<script" not in json.dumps(json.loads(saved.read_text()))


def tab_to_the_cards(page: Lab) -> bool:
    """From the cell, as it is once it has run; a theme that is still loading takes the focus away."""
    from selenium.webdriver.common.keys import Keys

    page.command("notebook:enter-command-mode")
    for _ in range(5):
        page.keys(Keys.TAB)
        if page.js("return document.activeElement?.getAttribute('role') === 'application'"):
            return True
    return False


@pytest.mark.checklist("W13")
@pytest.mark.timeout(400)
def test_two_hundred_rows_by_keys_alone(tmp_path: Path) -> None:
    """Tab reaches the cards; digits, Enter, arrows and u do the rest; no serious fault in either theme."""
    from selenium.webdriver.common.keys import Keys

    place = (
        "return document.querySelector('.llmx-review-cards:not([data-loading]) .llmx-number')?.textContent"
    )
    with lab(tmp_path, [PREPARE, CARDS]) as page:
        page.run()
        page.until(lambda: (page.js(place) or "").startswith("1 of 200"))
        for theme in ("Dark", "Light"):
            page.command("apputils:change-theme", {"theme": f"JupyterLab {theme}"})
            page.until(lambda theme=theme: page.find(f'.llmx-root[data-theme="{theme.lower()}"]'))
            assert faults(page, ".llmx-root") == []
        page.until(lambda: tab_to_the_cards(page))
        for row in range(200):
            page.until(lambda row=row: (page.js(place) or "").startswith(f"{row + 1} of 200"))
            page.keys(("1", "2", Keys.ENTER, Keys.ENTER)[row % 4])
        page.expect("len(c.gold)", "200")
        page.expect("[c.gold[i] for i in range(6)]", "['sport', 'money', 'sport', 'money', 'sport', 'money']")
        page.until(lambda: "All rows of this list are done." in page.text())
        assert "200 of 200 rows reviewed, 0 corrected" in page.text()
        page.keys(Keys.ARROW_LEFT, "1")
        page.expect("c.gold[199]", "sport")
        page.keys("u")
        page.expect("c.gold[199], len(c.gold)", "money 200")
        page.until(lambda: (page.js(place) or "").startswith("200 of 200"))
        page.keys("/", "text 19", Keys.ENTER)
        page.until(lambda: "No row is in this list." in page.text())
        page.command("docmanager:save")


@pytest.mark.checklist("W13", "W10")
@pytest.mark.timeout(300)
def test_the_review_lives_in_notebook_7(tmp_path: Path) -> None:
    """Keys label, go on and undo; none of them is a shortcut of the notebook; the rows are seen once."""
    place = (
        "return document.querySelector('.llmx-review-cards:not([data-loading]) .llmx-number')?.textContent"
    )
    with lab(tmp_path, [PREPARE, CARDS]) as page:
        page.notebook_7(2)
        page.until(lambda: (page.js(place) or "").startswith("1 of 200"))
        assert "Least certain first" not in page.text(), "the static twin is out of sight"
        cells = len(page.find(".jp-CodeCell"))
        page.find('[role="application"]')[0].click()
        page.keys("1", "2", "x")  # x would cut the cell
        page.until(lambda: (page.js(place) or "").startswith("3 of 200"))
        page.until(lambda: "2 of 200 rows reviewed" in page.text())
        page.keys("u")
        page.until(lambda: "1 of 200 rows reviewed" in page.text())
        assert len(page.find(".jp-CodeCell")) == cells
        assert faults(page, ".llmx-root") == []
        page.picture("review-notebook-7")
