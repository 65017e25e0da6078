"""The review grid in JupyterLab, by mouse and by keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab import Lab, lab, until

CELL = """
%load_ext llm_magics
import pandas as pd
texts = ['<b id=evil>bold</b> the team won'] + [f'text {i} about money' for i in range(24)]
done = pd.DataFrame({'text': texts, 'topic': ['sport', 'money'] * 12 + [None],
                     'topic_confidence': [i / 25 for i in range(25)]})
%llm review done.topic -o r
""".strip()


def status(page: Lab) -> str:
    return page.one(".llmx-review").text


@pytest.mark.checklist("W7", "X4", "W5")
@pytest.mark.timeout(300)
def test_the_grid_by_mouse_and_by_keys(tmp_path: Path, own_home: Path) -> None:
    """Least certain first; a choice, a key, a whole page; what is done shows at once and nothing runs as HTML."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import Select

    with lab(tmp_path, [CELL], {"LLM_MAGICS_HOME": str(own_home)}) as page:
        page.run_all()
        keyboard = page.one('[role="application"]', 120)
        assert "1-9 label" in keyboard.text
        rows = until(lambda: [b for b in page.all("button") if b.text == "Accept"], "the rows")
        assert len(rows) == 10
        assert not page.all("#evil"), "a text's markup is text"

        # The row without a label comes first, then by rising confidence.
        lists = [e for e in page.all("select") if "1 sport" in e.text]
        assert Select(lists[0]).first_selected_option.text == "no label"
        Select(lists[0]).select_by_visible_text("1 sport")
        until(lambda: "1 of 25 rows reviewed" in status(page), "the choice")

        keyboard.click()
        ActionChains(page.driver).send_keys(Keys.ARROW_DOWN, Keys.ARROW_UP, "2").perform()
        until(lambda: "2 of 25 rows reviewed" in status(page), "a label by key")
        ActionChains(page.driver).send_keys(Keys.ENTER).perform()
        until(lambda: "3 of 25 rows reviewed" in status(page), "an accept by key")
        ActionChains(page.driver).send_keys("u").perform()
        until(lambda: "2 of 25 rows reviewed" in status(page), "undo by key")

        next(b for b in page.all("button") if b.text == "Accept page").click()
        until(lambda: "10 of 25 rows reviewed" in status(page), "a page")
        page.driver.save_screenshot(str(tmp_path / "review.png"))
