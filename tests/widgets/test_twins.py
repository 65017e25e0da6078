"""What a saved notebook keeps of a live panel, in JupyterLab in real Chromium: how things stand, not how they stood."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from tests.widgets.lab import Lab, lab

PREPARE = """
%load_ext llm_magics
import pandas as pd
from tests.widgets.test_explorer import scored
many = pd.DataFrame({'text': [f'text {i}' for i in range(40)], 'topic': ['sport', 'money'] * 20})
themes = scored(200, 4, 1)
""".strip()
CELLS = [PREPARE, "%llm review many.topic --on text -o c", "themes.explore(slice='slice0')"]
PLACE = "return document.querySelector('.llmx-review-cards:not([data-loading]) .llmx-number')?.textContent"


def saved(page: Lab) -> str:
    """The HTML that is in the file after a save."""
    page.command("docmanager:save")
    cells = nbformat.read(page.folder / "n.ipynb", as_version=4).cells
    outputs = [output for cell in cells for output in cell.outputs]
    return "".join(output.get("data", {}).get("text/html", "") for output in outputs)


@pytest.mark.checklist("W10")
@pytest.mark.timeout(400)
def test_the_file_keeps_how_things_stand(tmp_path: Path) -> None:
    """Cards labelled, concepts renamed and merged: saved and exported, without a widget that moves or goes."""
    from nbconvert import HTMLExporter

    with lab(tmp_path, CELLS) as page:
        page.run()
        page.until(lambda: len(page.find(".llmx-x-mapname")) == 4)
        page.until(lambda: (page.js(PLACE) or "").startswith("1 of 40"))
        assert "0 of 40 rows reviewed" in saved(page)
        box = page.find('[role="application"]')[0]
        page.js("arguments[0].scrollIntoView({block: 'center'}); arguments[0].focus()", box)
        at = page.js("return arguments[0].getBoundingClientRect().top", box)
        for row in range(20):
            page.until(lambda row=row: (page.js(PLACE) or "").startswith(f"{row + 1} of 40"))
            page.keys("12"[row % 2])
        page.until(lambda: "20 of 40 rows reviewed" in saved(page))
        assert page.js("return document.activeElement === arguments[0]", box), "the focus stays"
        assert abs(page.js("return arguments[0].getBoundingClientRect().top", box) - at) < 2, "the page stays"
        page.ask("(themes.rename('concept 1', 'renamed in code'), themes.merge('concept 2', 'concept 3'))")
        page.until(lambda: "renamed in code" in saved(page) and "concept 3" not in saved(page))
        page.until(lambda: len(page.find(".llmx-x-mapname")) == 3)
        assert len(page.find(".llmx-root")) == 2 and "Least certain first" not in page.text()
        html, _ = HTMLExporter().from_filename(str(page.folder / "n.ipynb"))
        assert "20 of 40 rows reviewed" in html and "renamed in code" in html
