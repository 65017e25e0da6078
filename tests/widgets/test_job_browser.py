"""A background job in JupyterLab in real Chromium: its line, its button, and what a saved notebook keeps of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.widgets.axe import faults
from tests.widgets.lab import lab

PREPARE = """
%load_ext llm_magics
import time
import pandas as pd
from llm_magics.testing import Server

def answer(request):
    time.sleep(0.2)
    return "billing"

server = Server(answer).start()
get_ipython().run_line_magic("llm_config", f"add slow --openai {server.url} --id test-model --concurrency 2")
rows = pd.DataFrame({"body": [f"charged twice {i}" for i in range(400)]})
""".strip()
LONG = "%llm label rows.body --labels billing,outage -m slow -b -o stopped"
SHORT = "%llm label rows.body --labels billing,outage -m slow -b --sample 4 --random-state 1 -o done"


@pytest.mark.checklist("W8")
@pytest.mark.timeout(300)
def test_a_job_is_followed_stopped_and_leaves_its_last_line(tmp_path: Path) -> None:
    """Stop stops; the end takes the widget's place, so that the file needs no kernel to say it."""
    with lab(tmp_path, [PREPARE, LONG, SHORT]) as page:
        page.run()
        page.until(lambda: "job 1: label:" in page.text() and "/400 rows" in page.text())
        stop = page.until(
            lambda: [button for button in page.find(".llmx-job button") if button.text == "Stop"]
        )[0]
        assert "Stop" in stop.accessible_name
        for theme in ("Dark", "Light"):
            page.command("apputils:change-theme", {"theme": f"JupyterLab {theme}"})
            ground = "return getComputedStyle(document.querySelector('.llmx-root')).backgroundColor"
            seen = {"Dark": "rgb(22, 24, 28)", "Light": "rgb(255, 255, 255)"}[theme]
            page.until(lambda ground=ground, seen=seen: page.js(ground) == seen)
            assert faults(page, ".llmx-root") == []
            page.picture(f"job-{theme.lower()}")
        page.js("arguments[0].click()", stop)  # the theme may still be loading
        page.until(lambda: "stopped" in page.text().split("job 1: ")[-1].splitlines()[0].lower())
        page.until(lambda: "job 2: label: 4 rows" in page.text())
        page.until(lambda: not page.find(".llmx-job"))
        page.picture("jobs")
        page.command("docmanager:save")
        saved = tmp_path / "n.ipynb"
        page.until(lambda: "job 2: label: 4 rows" in saved.read_text())
        outputs = [o for cell in json.loads(saved.read_text())["cells"] for o in cell.get("outputs", ())]
        kinds = [kind for output in outputs for kind in output.get("data", {})]
        assert "application/vnd.jupyter.widget-view+json" not in kinds
        assert sum("job " in "".join(output.get("data", {}).get("text/html", "")) for output in outputs) == 2
