"""The result of a cell in JupyterLab in real Chromium, and exported."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.widgets.axe import faults
from tests.widgets.lab import lab

PREPARE = """
%load_ext llm_magics
import pandas as pd
from llm_magics.testing import Server
words = " and a few more words, so that it has to be broken into several lines"
texts = [f"the invoice {i}{words}" for i in range(12)] + [f"odd {i}" for i in range(3)] + [None]
tickets = pd.DataFrame({"body": texts, "day": range(16)})
server = Server(lambda request: "who knows" if "odd" in str(request["messages"]) else '{"label": "invoice"}').start()
get_ipython().run_line_magic("llm_config", f"add fast --openai {server.url} --id test-model")
""".strip()
LABEL = "%llm label tickets.body --labels invoice,outage -m fast --as topic -o labelled"
VIEW = ".llmx-result"


@pytest.mark.checklist("W12", "W6")
@pytest.mark.timeout(300)
def test_a_result_reads_well_at_every_width_in_both_themes(tmp_path: Path) -> None:
    """Texts stand left and wrap, nothing is cut off, failures open by keyboard; no serious fault."""
    from selenium.webdriver.common.keys import Keys

    with lab(tmp_path, [PREPARE, LABEL]) as page:
        page.run()
        page.until(lambda: page.find(VIEW) and "label: 16 rows" in page.text())
        page.js("window.jupyterapp.shell.collapseLeft()")
        for theme in ("Light", "Dark"):
            page.command("apputils:change-theme", {"theme": f"JupyterLab {theme}"})
            for width in (700, 1200, 2000):
                page.driver.set_window_size(width, 1000)
                page.until(
                    lambda: page.js(
                        f"const e = document.querySelector('{VIEW}'); return e.scrollWidth <= e.clientWidth + 1"
                    )
                )
                page.show(VIEW)
                page.picture(f"result-{theme.lower()}-{width}")
            assert faults(page, VIEW) == []
        text = page.find(f"{VIEW} > .llmx-scroll td.llmx-text")[0]
        assert text.value_of_css_property("text-align") == "left"
        summary = page.find(f"{VIEW} summary")[0]
        page.until(lambda: summary.text.startswith("3 failed of 16 rows"))
        page.js("arguments[0].focus()", summary)
        page.keys(Keys.ENTER)
        page.until(lambda: page.js(f"return document.querySelector('{VIEW} details').open"))
        page.expect("type(_).__name__, list(labelled.columns)[:3]", "DataFrame ['body', 'day', 'topic']")


@pytest.mark.checklist("W12", "W6")
def test_an_exported_result_is_the_same(tmp_path: Path) -> None:
    """nbconvert's page has the shares, the rows and the footer; no script is needed for them."""
    import nbformat
    from nbconvert import HTMLExporter, MarkdownExporter

    from tests.pages import run

    cells = [nbformat.v4.new_code_cell(cell) for cell in (PREPARE, LABEL)]
    done = run(nbformat.v4.new_notebook(cells=cells), tmp_path)
    page, _ = HTMLExporter().from_notebook_node(done)
    for said in ('class="llmx-shares"', "3 failed of 16 rows", "6 more rows", "label: 16 rows"):
        assert said in page
    plain, _ = MarkdownExporter().from_notebook_node(done)
    assert "invoice" in plain and "label: 16 rows" in plain


@pytest.mark.checklist("W12")
@pytest.mark.timeout(300)
def test_a_result_reads_well_in_notebook_7(tmp_path: Path) -> None:
    """Drawn once, whole at every width, failures open by keyboard; no serious fault."""
    from selenium.webdriver.common.keys import Keys

    with lab(tmp_path, [PREPARE, LABEL]) as page:
        page.notebook_7(2)
        page.until(lambda: page.find(VIEW) and "label: 16 rows" in page.text())
        assert len(page.find(VIEW)) == 1
        for width in (700, 1500):
            page.driver.set_window_size(width, 1000)
            fits = f"const e = document.querySelector('{VIEW}'); return e.scrollWidth <= e.clientWidth + 1"
            page.until(lambda fits=fits: page.js(fits))
        assert faults(page, VIEW) == []
        summary = page.find(f"{VIEW} summary")[0]
        page.js("arguments[0].focus()", summary)
        page.keys(Keys.ENTER)
        page.until(lambda: page.js(f"return document.querySelector('{VIEW} details').open"))
        page.picture("result-notebook-7")
