"""Errors, tables of the set-up, a dry run and an evaluation in JupyterLab in real Chromium."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.widgets.axe import faults
from tests.widgets.lab import lab

PREPARE = """
%load_ext llm_magics
import os
os.environ["OPENAI_API_KEY"] = "sk-abcdefgh12345678ijkl"
import pandas as pd
import llm_magics
tickets = pd.DataFrame({"body": ["the invoice is wrong", "the server is down", "where is my parcel"] * 9})
tickets["truth"] = ["invoice", "outage", "delivery"] * 8 + ["outage", "invoice", "invoice"]
""".strip()
RAISED = """
from llm_magics.core.errors import AuthError, Interrupted
hint = "Look at it: %llm_config key list"
for error in (
    AuthError("openai refused the key sk-abcdefgh12345678ijkl", hint=hint, status=401),
    Interrupted("20 of 400 rows are answered and kept."),
):
    try:
        raise error
    except BaseException:
        get_ipython().showtraceback()
""".strip()
CELLS = (
    RAISED,
    "%llm_config",
    "%llm_config doctor",
    "%llm_config models",
    "%llm_config key list",
    "%llm_config responses",
    "%llm label tickets.body --labels invoice,outage,delivery -n",
    "%llm label tickets.body --labels invoice,outage,delivery --truth truth -o labelled -q",
    "llm_magics.last.evaluation",
    "%llm agreement labelled label,truth",
    "%llm usage",
    "%llm label tickets.txt --labels a,b",
)
OUT = ".llmx-out"


@pytest.mark.checklist("C1", "C4", "W12", "W6")
@pytest.mark.timeout(400)
def test_outputs_read_well_in_both_themes_at_every_width(tmp_path: Path) -> None:
    """Nothing is cut off, no table of the set-up scrolls, axe-core finds no serious fault, numbers stand right, an error is said once."""
    with lab(tmp_path, [PREPARE, *CELLS]) as page:
        page.run()
        page.until(lambda: len(page.find(OUT)) == len(CELLS))
        page.js("window.jupyterapp.shell.collapseLeft()")
        for theme in ("Light", "Dark"):
            page.command("apputils:change-theme", {"theme": f"JupyterLab {theme}"})
            for width in (700, 1100, 2000):
                page.driver.set_window_size(width, 1000)
                page.until(
                    lambda: page.js(
                        f"return [...document.querySelectorAll('{OUT}')].every(e => e.scrollWidth <= e.clientWidth + 1"
                        " && e.getBoundingClientRect().right <= e.closest('.jp-OutputArea').getBoundingClientRect().right + 1)"
                        " && [...document.querySelectorAll('.llmx-table .llmx-scroll')].every(e => e.scrollWidth <= e.clientWidth + 1)"
                    )
                )
                for place in range(len(page.find(OUT))):
                    page.js(f"document.querySelectorAll('{OUT}')[{place}].scrollIntoView({{block: 'start'}})")
                    page.picture(f"output-{place:02d}-{theme.lower()}-{width}")
            assert faults(page, OUT) == []
            ground = page.js(f"return getComputedStyle(document.querySelector('{OUT}')).backgroundColor")
            assert ground == {"Light": "rgb(255, 255, 255)", "Dark": "rgb(22, 24, 28)"}[theme]
        seen = "\n".join(one.text for one in page.find(".jp-OutputArea"))
        assert "No column txt" in seen and "NotFound: no column" not in seen
        assert "HTTP 401" in seen and "Stopped" in seen and "sk-abcdefgh" not in seen
        number = page.find(f"{OUT} td.llmx-n")[0]
        assert number.value_of_css_property("text-align") == "right"
        assert "tabular-nums" in number.value_of_css_property("font-variant-numeric")
        page.command("docmanager:save")
        page.until(lambda: "No column" in (tmp_path / "n.ipynb").read_text())
        outputs = [
            one
            for cell in json.loads((tmp_path / "n.ipynb").read_text())["cells"][1:]
            for one in cell["outputs"]
        ]
        plain = [one for one in outputs if one["output_type"] == "error"]
        assert [one["ename"] for one in plain] == ["AuthError", "Interrupted", "NotFound"]
        assert plain[2]["traceback"][0] == "NotFound: no column 'txt'."
        assert not any("sk-abcdefgh" in json.dumps(one) for one in outputs)
