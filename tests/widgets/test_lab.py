"""The explorer in real JupyterLab in real Chromium: what a person does with it, and what a page must not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.contrast import contrast
from tests.widgets.lab import IDLE, Lab, lab

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


FRAME = ".llmx-root .llmx-x-frame"
DRAWN = "return document.querySelector('.js-plotly-plot')?.data?.[1]?.x?.length"
"""How many documents the map draws."""


def drag(page: Lab, spots: list[tuple[float, float]]) -> None:
    """Press, move and release over the map; spots are shares of its size from the middle."""
    from selenium.webdriver.common.action_chains import ActionChains

    frame = page.find(FRAME)[0]
    size = frame.rect
    moves = ActionChains(page.driver, duration=60)
    for i, (x, y) in enumerate(spots):
        moves.move_to_element_with_offset(frame, int(x * size["width"]), int(y * size["height"]))
        if i == 0:
            moves.click_and_hold()
    moves.release().perform()


def spot(page: Lab, row: int) -> tuple[int, int]:
    """Where a document is on the map, from the middle of the frame."""
    x, y = page.js(
        "const plot = document.querySelector('.js-plotly-plot'), {x, y} = plot.data[1], l = plot._fullLayout;"
        "return [l.xaxis.d2p(x[arguments[0]]) - l.width / 2, l.yaxis.d2p(y[arguments[0]]) - l.height / 2]",
        row,
    )
    return int(x), int(y)


def point_at(page: Lab, row: int, *, click: bool) -> None:
    """Move the mouse to a document on the map, whose names are out of sight then, and click it."""
    from selenium.webdriver.common.action_chains import ActionChains

    page.js("document.querySelector('.llmx-x-names').style.visibility = 'hidden'")
    x, y = spot(page, row)
    moves = ActionChains(page.driver).move_to_element_with_offset(page.find(FRAME)[0], x - 3, y)
    moves = moves.pause(0.2).move_by_offset(3, 0).pause(0.4)
    (moves.click() if click else moves).perform()


def name_button(page: Lab, name: str) -> Any:
    """A concept's row, by its name."""
    return page.until(lambda: next((one for one in page.find(".llmx-x-name") if name in one.text), None))


def act(page: Lab, label: str) -> None:
    """A button of the explorer by its text or name."""

    def button() -> Any:
        return next(
            (
                one
                for one in page.find(".llmx-root button")
                if one.is_displayed() and label in (one.text.strip(), one.accessible_name)
            ),
            None,
        )

    page.js("arguments[0].click()", page.until(button))


def field(page: Lab, label: str) -> Any:
    """An input, select or text area by its name."""
    found = ".llmx-root :is(input, select, textarea)"
    return page.until(lambda: next((one for one in page.find(found) if one.accessible_name == label), None))


def choose_option(page: Lab, label: str, text: str) -> None:
    from selenium.webdriver.support.ui import Select

    Select(field(page, label)).select_by_visible_text(text)


@pytest.mark.timeout(400)
@pytest.mark.checklist("W1", "W2", "W5", "W6", "W11", "X10")
def test_a_person_explores_edits_exports_and_comes_back(tmp_path: Path) -> None:
    """By mouse: lasso, click, matrix, merge by dragging, rename, add, score, undo, export, dark, reopen."""
    with lab(tmp_path, CELLS) as page:
        page.until(lambda: page.js(IDLE))
        page.ask("__import__('llm_magics.widgets.frontend.plotly_script', fromlist=['a']).send_ahead()")
        page.until(lambda: page.js("return !!globalThis[Symbol.for('llm_magics.plotly')]"))
        page.run()
        page.until(lambda: page.js(DRAWN) == 36 and page.find(".llmx-x-mapname"))
        page.js("document.querySelector('.llmx-root').scrollIntoView({block: 'start'})")
        page.expect("len(themes)", "3")
        assert "3 concepts in 36 documents" in page.text()
        assert page.text().count("Is the text about parcel") == 1, "one thing once: the twin is out of sight"

        the_map_is_used(page)
        matrix_and_prevalence_are_read(page)
        concepts_are_edited(page)
        act(page, "More actions")
        act(page, "Export concepts.json and .html")
        page.until(lambda: (tmp_path / "concepts.html").exists() and (tmp_path / "concepts.json").exists())
        assert page.js("return window.pwned") is None
        bare = [
            e.tag_name
            for e in page.find(".llmx-root :is(select, input, button, textarea)")
            if e.is_displayed() and not e.accessible_name
        ]
        assert not bare

        page.command("docmanager:save")
        saved = tmp_path / "n.ipynb"
        page.until(lambda: "concepts in 36 documents" in saved.read_text())
        assert saved.stat().st_size < 1_000_000
        page.open()  # with its kernel alive
        page.until(lambda: page.js(DRAWN) == 36 and len(page.find(".llmx-x-row")) == 3)
        page.command("kernelmenu:shutdown")
        page.open()
        page.until(lambda: "3 concepts in 36 documents" in page.text())
        assert not page.find(".llmx-root") and "model not found" not in page.text()
        assert page.js("return window.pwned") is None
        page.driver.get((tmp_path / "concepts.html").as_uri())
        assert page.js("return document.querySelectorAll('use').length") == 36
        assert page.js("return window.pwned") is None


def the_map_is_used(page: Lab) -> None:
    """Lasso, the card beside the pointer, a click, search, colours, both themes."""
    act(page, "Draw around documents to select them")
    page.until(
        lambda: page.js("return document.querySelector('.js-plotly-plot')._fullLayout.dragmode") == "lasso"
    )
    drag(page, [(-0.48, -0.4), (0.48, -0.4), (0.48, 0.48), (-0.48, 0.48), (-0.48, -0.38)])
    page.expect("len(themes.explorer.rows) > 20", "True")
    page.until(lambda: "selected" in page.find(".llmx-x-lit")[0].text)
    page.picture("lasso")
    act(page, "Let no document stand out")
    page.expect("themes.explorer.rows", "[]")

    act(page, "Move the map; click opens a document")
    page.until(
        lambda: page.js("return document.querySelector('.js-plotly-plot')._fullLayout.dragmode") == "pan"
    )
    point_at(page, 3, click=False)
    page.until(lambda: "document 3" in page.find(".llmx-x-card")[0].text)
    point_at(page, 9, click=True)
    page.expect("themes.explorer.rows == [9]", "True")
    page.until(lambda: "Document 9" in page.text() and page.find(".llmx-x-ring")[0].is_displayed())
    act(page, "Back to the concept")

    field(page, "Search the documents").send_keys("COURIER")
    page.expect("len(themes.explorer.found)", "12")
    page.until(lambda: "12 documents contain" in page.find(".llmx-x-lit")[0].text)
    assert page.find(".llmx-x-text mark")[0].text == "courier"
    act(page, "Let no document stand out")
    choose_option(page, "Colour", "shop")
    page.expect("themes.explorer.colour", "slice:shop")
    page.until(lambda: "shop" in page.find(".llmx-x-legend")[0].text)
    choose_option(page, "Colour", "concept")

    colours = (
        "return document.querySelector('.js-plotly-plot').data[1].marker.colorscale.map((one) => one[1])"
    )
    light = page.js(colours)
    page.command("apputils:change-theme", {"theme": "JupyterLab Dark"})
    page.until(lambda: page.find(".llmx-root[data-theme='dark']"))
    page.until(lambda: page.js(colours) != light)
    grounds = page.js(
        "return [...document.querySelectorAll('.js-plotly-plot .main-svg')].map(e => getComputedStyle(e).backgroundColor)"
    )
    assert all("rgba(0, 0, 0, 0)" in ground for ground in grounds)
    page.picture("dark")
    page.command("apputils:change-theme", {"theme": "JupyterLab Light"})


def matrix_and_prevalence_are_read(page: Lab) -> None:
    """A cell opens its concept and slice; the shares have their intervals."""
    act(page, "Matrix")
    page.expect("themes.explorer.view", "Matrix")
    cells = page.until(lambda: page.find(".llmx-x-cell"))
    assert [cell.text.splitlines()[0] for cell in cells] == [
        str(n) for line in ([12, 6, 6],) * 3 for n in line
    ]
    page.js("arguments[0].click()", cells[5])
    page.expect("themes.explorer.concept.name == themes.names[1], themes.explorer.group", "True B")
    page.picture("matrix")
    act(page, "Prevalence")
    page.until(lambda: len(page.find(".llmx-x-line")) == 3 and "33%" in page.find(".llmx-x-line")[0].text)
    act(page, "Map")


def concepts_are_edited(page: Lab) -> None:
    """One row dragged onto another; renamed in place; added, scored; all taken back by the key."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    before = page.ask("themes.names")
    one, two = name_button(page, "delivery"), name_button(page, "price")
    ActionChains(page.driver).click_and_hold(two).move_by_offset(0, -12).move_to_element(one).pause(
        0.2
    ).release().perform()
    page.expect("themes.names", "['delivery', 'taste']")
    ActionChains(page.driver).double_click(name_button(page, "delivery")).perform()
    page.until(lambda: page.find(".llmx-x-rename"))
    page.keys("ours <b>now</b>", Keys.ENTER)
    page.expect("themes.names[0]", "ours <b>now</b>")
    act(page, "Add")
    field(page, "Name of the new concept").send_keys("couriers")
    field(page, "Criterion of the new concept").send_keys("Is the text about a parcel or a courier?")
    act(page, "Add concept")
    page.expect("themes.names[-1]", "couriers")
    act(page, "Score 1")
    page.expect("themes.explorer.status", "Scored.")
    page.expect("len(themes.rows('couriers')) > 0", "True")
    page.until(lambda: "Undo add" in page.text())
    for names in ("['ours <b>now</b>', 'taste']", "['delivery', 'taste']", before):
        name_button(page, "taste").send_keys(Keys.CONTROL, "z")
        page.expect("themes.names", names)


SCORED = """
from tests.widgets.test_explorer import scored
themes = scored(600, 20, 8)
themes.explore(slice="slice1")
""".strip()
WIDTHS = (700, 1000, 1200, 1500, 2000)
TOO_WIDE = """
const root = document.querySelector('.llmx-root'), box = root.getBoundingClientRect();
const clipped = (one) => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).overflowX !== 'visible' &&
  !one.closest('.llmx-x-names, .llmx-unseen, .js-plotly-plot, select, input') && !one.matches('.llmx-x-report, .llmx-x-chart, .llmx-x-frame');
const outside = (one) => { const r = one.getBoundingClientRect(); return r.width && r.right > box.right + 1 && !one.closest('.js-plotly-plot, .llmx-unseen, .llmx-x-away'); };
return [...root.querySelectorAll('*')].filter((one) => clipped(one) || outside(one)).map((one) => one.outerHTML.slice(0, 120));
"""
"""What of the explorer scrolls sideways, or sticks out of it."""


COVERED = """
const boxes = [...document.querySelectorAll('.llmx-x-mapname:not(.llmx-x-away)')].map((one) => [one.textContent, one.getBoundingClientRect()]);
return [boxes.length, boxes.flatMap(([name, a], i) => boxes.slice(i + 1).filter(([, b]) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom).map(([other]) => [name, other]))];
"""
"""How many names are on the map, and which of them lie over another."""
CELLS_READ = """
const numbers = (colour) => { const all = colour.match(/[\\d.]+/g).map(Number); return colour.startsWith('rgb') ? [all.slice(0, 3), all[3] ?? 1] : [all.slice(0, 3).map((one) => 255 * one), all[3] ?? 1]; };
return [...document.querySelectorAll('.llmx-x-cell:not([data-empty])')].map((cell) => {
  const style = getComputedStyle(cell), [over, share] = numbers(style.backgroundImage.match(/\\w+\\([^()]*\\)/)[0]), [under] = numbers(style.backgroundColor);
  return [numbers(style.color)[0], over.map((one, i) => share * one + (1 - share) * under[i])];
});
"""
"""Ink and ground of the matrix's cells."""


def the_cells_can_be_read(page: Lab) -> None:
    cells = page.js(CELLS_READ)
    assert len(cells) > 20 and min(contrast(ink, ground) for ink, ground in cells) >= 4.5


@pytest.mark.timeout(500)
@pytest.mark.checklist("W11")
def test_every_width_and_theme_is_whole_and_accessible(tmp_path: Path) -> None:
    """600 documents: at most 900 pixels high, nothing cut off, no faults that axe-core finds, light and dark."""
    from tests.widgets.axe import faults

    with lab(tmp_path, [SCORED]) as page:
        page.run()
        page.until(lambda: page.js(DRAWN) == 600 and page.find(".llmx-x-mapname"))
        for dark in (False, True):
            page.command("apputils:change-theme", {"theme": f"JupyterLab {'Dark' if dark else 'Light'}"})
            page.until(lambda dark=dark: page.find(f".llmx-root[data-theme='{'dark' if dark else 'light'}']"))
            for view in ("Map", "Matrix", "Prevalence"):
                act(page, view)
                page.expect("themes.explorer.view", view)
                assert faults(page, ".llmx-root") == []
                if view == "Matrix":
                    the_cells_can_be_read(page)
        page.ask("themes.explorer.slice_by('slice7')")  # so many slices are drawn in another way
        page.js("window.jupyterapp.shell.collapseLeft()")
        for view in ("Map", "Matrix", "Prevalence"):
            act(page, view)
            page.expect("themes.explorer.view", view)
            for width in WIDTHS:
                page.driver.set_window_size(width, 1200)
                page.until(lambda: page.js("return document.querySelector('.llmx-root').clientHeight") <= 900)
                assert page.js(TOO_WIDE) == [], (view, width)
                if view == "Map":
                    page.until(lambda: page.js(COVERED)[0] >= 3 and not page.js(COVERED)[1], 5)


@pytest.mark.timeout(300)
@pytest.mark.checklist("W6", "W10")
def test_the_explorer_lives_in_notebook_7(tmp_path: Path) -> None:
    """Drawn, the twin out of sight, a click that opens a concept, Delete that deletes the concept and no cell."""
    from selenium.webdriver.common.keys import Keys

    with lab(tmp_path, CELLS) as page:
        page.notebook_7(len(CELLS))
        page.until(lambda: page.js(DRAWN) == 36 and page.find(".llmx-x-mapname"))
        assert page.text().count("Is the text about parcel") == 1
        name_button(page, "price").click()
        page.until(lambda: page.find(".llmx-x-dtitle")[0].text.endswith("price"))
        cells = len(page.find(".jp-CodeCell"))
        name_button(page, "price").send_keys("d", "d", Keys.DELETE)
        page.until(lambda: len(page.find(".llmx-x-row")) == 2 and "Undo delete" in page.text())
        assert len(page.find(".jp-CodeCell")) == cells
        page.picture("notebook-7")


@pytest.mark.timeout(300)
@pytest.mark.checklist("W1", "W11")
def test_everything_goes_by_keyboard(tmp_path: Path) -> None:
    """Rows, several of them, merge, rename, delete, menu, matrix and map, with no mouse."""
    from selenium.webdriver.common.keys import Keys

    with lab(tmp_path, CELLS) as page:
        page.run()
        page.until(lambda: page.js(DRAWN) == 36)
        page.js("document.querySelector('.llmx-x-name').focus()")
        page.keys(Keys.ARROW_DOWN, Keys.ENTER)
        page.expect("themes.explorer.concept.name", "price")
        page.keys(Keys.F2)
        page.until(lambda: page.find(".llmx-x-rename"))
        page.keys("money", Keys.ENTER)
        page.expect("themes.names", "['delivery', 'money', 'taste']")
        page.until(lambda: name_button(page, "money").is_displayed())
        page.js("document.querySelectorAll('.llmx-x-name')[0].focus()")
        page.keys(Keys.ENTER)
        page.expect("themes.explorer.concept.name", "delivery")
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(page.driver).key_down(Keys.SHIFT).send_keys(Keys.ARROW_DOWN).key_up(Keys.SHIFT).perform()
        page.expect("len(themes.explorer.chosen)", "2")
        page.keys("m")
        page.expect("themes.names", "['delivery', 'taste']")
        ActionChains(page.driver).key_down(Keys.CONTROL).send_keys("z").key_up(Keys.CONTROL).perform()
        page.expect("themes.names", "['delivery', 'money', 'taste']")
        page.js("document.querySelectorAll('.llmx-x-name')[2].focus()")
        page.keys(Keys.DELETE)
        page.expect("themes.names", "['delivery', 'money']")
        page.js("document.querySelectorAll('.llmx-x-name')[0].focus()")
        ActionChains(page.driver).key_down(Keys.SHIFT).send_keys(Keys.F10).key_up(Keys.SHIFT).perform()
        page.until(lambda: page.find(".llmx-menu"))
        page.keys(Keys.END, Keys.ARROW_UP, Keys.ARROW_UP, Keys.ENTER)  # Delete, Untick, Lock
        page.expect("themes['delivery'].locked", "True")
        before = page.js("return document.querySelector('.js-plotly-plot').layout.xaxis.range")
        page.js("document.querySelector('.llmx-x-frame').focus()")
        page.keys("+", Keys.ARROW_RIGHT)
        page.until(
            lambda: page.js("return document.querySelector('.js-plotly-plot').layout.xaxis.range") != before
        )
        page.js("document.querySelector('.llmx-segment').focus()")
        page.keys(Keys.ARROW_RIGHT)
        page.expect("themes.explorer.view", "Matrix")
        page.until(lambda: page.find(".llmx-x-cell"))
        page.js("document.querySelector('.llmx-x-cell').focus()")
        page.keys(Keys.ARROW_DOWN, Keys.ARROW_RIGHT, Keys.ENTER)
        page.expect("themes.explorer.concept.name, themes.explorer.group", "money A")


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
