"""The review grid in JupyterLab in real Chromium, by mouse and by keys, one label a row and several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.widgets.lab import Lab, lab

PREPARE = """
%load_ext llm_magics
import pandas as pd
texts = ['<b id=evil>bold</b> the team won'] + [f'text {i} about money' for i in range(24)]
done = pd.DataFrame({'text': texts, 'topic': ['sport', 'money'] * 12 + [None],
                     'topic_confidence': [i / 25 for i in range(25)],
                     'topics': [['sport'], ['money', 'war'], []] * 8 + [None]})
""".strip()
ONE = "%llm review done.topic --on text -o r"
SEVERAL = "%llm review done.topics --on text --labels sport,money,war -o m"


@pytest.mark.checklist("W7", "X4", "W5", "T2")
@pytest.mark.timeout(400)
def test_labels_are_reviewed_by_mouse_and_by_keys(tmp_path: Path) -> None:
    """What is done is in Python at once and shown; nothing in a text runs as HTML."""
    with lab(tmp_path, [PREPARE, ONE, SEVERAL]) as page:
        page.run()
        page.until(lambda: len(page.find('[role="application"]')) == 2)
        one_label_a_row(page)
        several_labels_a_row(page)


def focus(page: Lab, grid: int) -> Any:
    """The box of this grid that takes keys, in sight and focused."""
    box = page.find('[role="application"]')[grid]
    page.js("arguments[0].scrollIntoView({block: 'start'})", box)
    box.click()
    return box


def one_label_a_row(page: Lab) -> None:
    """Least certain first; a choice, a key, a whole page."""
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import Select

    assert "1-9 label" in focus(page, 0).text
    assert len([b for b in page.find("button") if b.text == "Accept"]) == 20
    assert not page.find("#evil"), "a text's markup is text"
    names = {e.accessible_name for e in page.find(".llmx-row select")}
    assert {"Label of row 24", "Label of row 0"} <= names and all(
        name.startswith("Label of row") for name in names
    )

    # The row without a label comes first, then by rising confidence.
    first = next(e for e in page.find("select") if "1 sport" in e.text)
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
    page.press("Accept page")
    page.expect("len(r.gold)", "10")
    page.until(lambda: "10 of 25 rows reviewed" in page.text())
    page.picture("review")


def several_labels_a_row(page: Lab) -> None:
    """Keys and switches put one label on or off and stay on the row; Enter says that the set is right."""
    from selenium.webdriver.common.keys import Keys

    assert "on or off" in focus(page, 1).text
    page.keys("1", "3")
    page.expect("m.gold", "{24: ('sport', 'war')}")
    page.until(lambda: "1 sport ✓" in page.text() and "3 war ✓" in page.text())
    page.keys("1", Keys.ARROW_DOWN, Keys.ENTER, "0")
    page.expect("m.gold", "{24: ('war',), 0: ('sport',), 1: ()}")
    page.keys("u", Keys.ENTER)
    page.expect("m.gold", "{24: ('war',), 0: ('sport',), 1: ('money', 'war')}")
    money = [b for b in page.find(".widget-toggle-button") if b.text.startswith("2 money")]
    page.js("arguments[0].click()", money[3])
    page.expect("m.gold[2], m.df['topics'][2]", "('money',) ['money']")
    page.until(lambda: "4 of 25 rows reviewed, 2 corrected" in page.text())
    page.picture("review-several")
