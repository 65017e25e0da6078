"""The explorer in real JupyterLab in real Chromium: what a person does with it, and what a page must not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.widgets.lab import Lab, lab

PREPARE = """
%load_ext llm_magics
import pandas as pd

topics = {"delivery": "parcel courier shipping arrived", "price": "price money refund charged",
          "taste": "taste flavour sweet bitter"}
evil = "<img src=x onerror='window.pwned=1'><script>window.pwned=1</script>"
reviews = pd.DataFrame([
    {"text": f"the {words} about {name} {i} {evil * (i == 3)}", "shop": "AB"[i % 2]}
    for i in range(12) for name, words in topics.items()
])
mine = {name: f"Is the text about {words}?" for name, words in topics.items()}
"""
CELLS = (PREPARE.strip(), "%llm concepts reviews.text --slice shop --concepts mine -o themes")


def drag(page: Lab, spots: list[tuple[float, float]]) -> None:
    """Press, move and release over the chart; spots are shares of its size from the middle."""
    from selenium.webdriver.common.action_chains import ActionChains

    chart = page.find(".js-plotly-plot .nsewdrag")[0]
    size = chart.rect
    moves = ActionChains(page.driver, duration=60)
    for i, (x, y) in enumerate(spots):
        moves.move_to_element_with_offset(chart, int(x * size["width"]), int(y * size["height"]))
        if i == 0:
            moves.click_and_hold()
    moves.release().perform()


def click_at(page: Lab, x: float, y: float) -> None:
    """Click on a place in data coordinates."""
    from selenium.webdriver.common.action_chains import ActionChains

    chart = page.find(".js-plotly-plot .nsewdrag")[0]
    spot = page.js(
        "const layout = document.querySelector('.js-plotly-plot')._fullLayout;"
        "return [layout.xaxis.d2p(arguments[0]), layout.yaxis.d2p(arguments[1])]",
        x,
        y,
    )
    left, top = (int(at - chart.rect[side] / 2) for at, side in zip(spot, ("width", "height"), strict=True))
    moves = ActionChains(page.driver)
    moves.move_to_element_with_offset(chart, left - 2, top).pause(0.2).move_by_offset(2, 0).pause(0.3).click()
    moves.perform()


def choose(page: Lab, *numbers: int) -> None:
    """Entries of the concept list."""
    code = (
        "const list = document.querySelector('.llmx-list select');"
        "[...list.options].forEach((o, i) => { o.selected = arguments[0].includes(i); });"
        "list.dispatchEvent(new Event('input', {bubbles: true}));"
        "list.dispatchEvent(new Event('change', {bubbles: true}));"
    )
    page.js(code, list(numbers))


def type_in(page: Lab, selector: str, text: str) -> None:
    page.find(selector)[0].send_keys(text)


def the_page_is_loaded_again(page: Lab) -> None:
    """With its kernel alive: map, theme and list are as they were; all has a name; nothing sends a chart away."""
    page.open()
    shown = "return document.querySelector('.js-plotly-plot')?.data?.[0]?.x?.length"
    page.until(lambda: page.find(".llmx-list select") and page.js(shown) == 36)
    assert page.js("return document.querySelector('.js-plotly-plot').layout.paper_bgcolor") == "rgba(0,0,0,0)"
    assert page.find(".llmx-list select")[0].accessible_name == "Concepts"
    bare = [
        e.tag_name for e in page.find(".jupyter-widgets :is(select, input, button)") if not e.accessible_name
    ]
    assert not bare
    titles = [button.get_attribute("data-title") for button in page.find(".modebar-btn")]
    assert titles and not [title for title in titles if "hare" in title or "loud" in title]


@pytest.mark.timeout(400)
@pytest.mark.checklist("W1", "W2", "W5", "W6", "X10")
def test_a_person_explores_edits_exports_and_comes_back(tmp_path: Path) -> None:
    """Open, lasso, click, merge, rename, add, score, undo, export, dark theme, reopen without a kernel."""
    with lab(tmp_path, CELLS) as page:
        page.run()
        page.until(lambda: page.find(".llmx-list select") and page.find(".js-plotly-plot canvas"))
        page.show(".llmx-list")
        page.expect("len(themes)", "3")
        name_box = ".widget-text input:not([placeholder='search'])"

        page.press("Lasso")
        page.expect("themes.explorer.figure.layout.dragmode", "lasso")
        page.until(
            lambda: (
                page.js("return document.querySelector('.js-plotly-plot')._fullLayout.dragmode") == "lasso"
            )
        )
        drag(page, [(-0.49, -0.48), (0.49, -0.48), (0.49, 0.48), (-0.49, 0.48), (-0.49, -0.46)])
        page.expect("len(themes.explorer.rows) > 20", "True")
        page.picture("lasso")

        page.command("apputils:change-theme", {"theme": "JupyterLab Dark"})
        page.expect("themes.explorer.theme, len(themes.explorer.rows) > 20", "dark True")
        page.command("apputils:change-theme", {"theme": "JupyterLab Light"})

        page.press("Click")
        page.until(
            lambda: (
                page.js("return document.querySelector('.js-plotly-plot')._fullLayout.hovermode") == "closest"
            )
        )
        x, y = map(float, page.ask("*themes.places[9]").split())
        click_at(page, x, y)
        page.expect("themes.explorer.rows == [9]", "True")

        page.press("Matrix")
        page.expect("themes.explorer.view", "Matrix")
        page.until(lambda: "shop" in page.text() and page.find(".js-plotly-plot .xtick text"))
        click_at(page, 2, 1)
        page.expect("themes.explorer.concept.name == themes.names[1], themes.explorer.group", "True B")
        page.picture("matrix")
        page.press("Map")

        before = page.ask("themes.names")
        choose(page, 0, 1)
        page.expect("len(themes.explorer.chosen)", "2")
        page.press("Merge")
        page.expect("len(themes)", "2")
        type_in(page, name_box, "ours <b>now</b>")
        page.expect("themes.explorer.controls.name.value", "ours <b>now</b>")
        page.press("Rename")
        page.expect("themes.names[0]", "ours <b>now</b>")
        type_in(page, name_box, "couriers")
        type_in(page, ".widget-textarea textarea", "Is the text about a parcel or a courier?")
        page.expect("themes.explorer.controls.criterion.value", "Is the text about a parcel or a courier?")
        page.press("Add")
        page.expect("themes.names[-1]", "couriers")
        page.press("Score")
        page.expect("themes.explorer.status", "Scored.")
        page.expect("len(themes.rows('couriers')) > 0", "True")
        for _ in range(3):
            page.press("Undo")
        page.expect("themes.names", before)
        page.press("Export")
        page.until(lambda: (tmp_path / "concepts.html").exists() and (tmp_path / "concepts.json").exists())

        page.command("apputils:change-theme", {"theme": "JupyterLab Dark"})
        page.expect("themes.explorer.theme", "dark")
        grounds = page.js(
            "return [...document.querySelectorAll('.js-plotly-plot .main-svg')]"
            ".map(e => getComputedStyle(e).backgroundColor)"
        )
        assert all("rgba(0, 0, 0, 0)" in ground for ground in grounds)
        page.picture("dark")
        assert page.js("return window.pwned") is None

        page.command("docmanager:save")
        saved = tmp_path / "n.ipynb"
        page.until(lambda: "concepts in 36 documents" in saved.read_text())
        assert saved.stat().st_size < 1_000_000
        the_page_is_loaded_again(page)
        page.command("kernelmenu:shutdown")
        page.open()
        page.until(lambda: "3 concepts in 36 documents" in page.text())
        assert page.js("return window.pwned") is None
        page.driver.get((tmp_path / "concepts.html").as_uri())
        assert page.js("return document.querySelectorAll('use').length") == 36
        assert page.js("return window.pwned") is None


def test_the_saved_summary_survives_nbconvert(tmp_path: Path) -> None:
    """An executed notebook shows the summary as HTML; the widget's output is not needed for it."""
    import nbformat
    from nbclient import NotebookClient
    from nbconvert import HTMLExporter

    cells: list[Any] = [nbformat.v4.new_code_cell(cell) for cell in CELLS]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=120, kernel_name="python3", store_widget_state=False).execute(
        cwd=str(tmp_path)
    )
    page, _ = HTMLExporter().from_notebook_node(notebook)
    assert "3 concepts in 36 documents" in page and "&lt;script&gt;" in page
    assert "<script>window.pwned" not in page
    assert len(nbformat.writes(notebook)) < 1_000_000
