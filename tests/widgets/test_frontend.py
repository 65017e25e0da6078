"""The shared frontend: modules in one script, panels at the kernel's side, tokens that can be read."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_magics.core.errors import UsageError
from llm_magics.widgets.frontend import bundle
from llm_magics.widgets.frontend.panel import Panel
from llm_magics.widgets.frontend.plotly_script import as_module, plotly_script
from tests.contrast import contrast, rgb
from tests.widgets.lab import Lab, lab

COUNTER = Path(__file__).parent / "pages" / "counter.js"


class Counter:
    """A state with a panel."""

    def __init__(self) -> None:
        self.count = 0
        parts = {"count": lambda: self.count, "numbers": lambda: {"all": np.arange(4, dtype=np.float32)}}
        intents = {"add": self.add, "fail": self.fail}
        answers = {"double": lambda number: 2 * number}
        self.panel = Panel(COUNTER, parts, intents, label="Counter", answers=answers)
        self.sent: list[tuple[Any, Any]] = []

    def add(self, by: int) -> None:
        self.count += by

    def fail(self) -> None:
        raise UsageError("this can't be done.", hint="do something else")

    def listen(self) -> None:
        """Note what is sent."""
        self.panel.widget.send = lambda content, buffers=None: self.sent.append((content, buffers))


def test_a_panel_sends_what_changed_with_a_version() -> None:
    """All to a page that is ready; then what changed only; arrays as binary; errors as a sentence."""
    counter = Counter()
    counter.listen()
    counter.panel._received(None, {"intent": "ready", "number": 1, "view": "a"}, [])
    content, buffers = counter.sent.pop()
    assert content["parts"]["count"] == [1, 0] and content["done"] == 1
    assert content["parts"]["numbers"][1] == {"all": {"$buffer": 0, "type": "f4"}}
    assert bytes(buffers[0]) == np.arange(4, dtype=np.float32).tobytes()
    counter.panel._received(None, {"intent": "add", "values": {"by": 2}, "number": 2, "view": "a"}, [])
    assert counter.sent.pop()[0]["parts"] == {"count": [4, 2]}
    counter.panel.update()
    assert not counter.sent
    counter.panel._received(None, {"intent": "fail", "number": 3, "view": "a"}, [])
    assert counter.sent.pop()[0]["parts"] == {"status": [5, "this can't be done."]}
    counter.panel._received(None, {"intent": "double", "values": {"number": 3}, "number": 4, "view": "a"}, [])
    assert counter.sent.pop()[0] == {"answer": 6, "done": 4, "view": "a"}


def test_modules_become_one_script(tmp_path: Path) -> None:
    """In the order of their imports, each with its own names; a circle is an error."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "one.js").write_text("const hidden = 1;\nexport const one = hidden;\n")
    (tmp_path / "two.js").write_text(
        'import { one } from "./deep/one.js";\nconst hidden = 1;\nexport function two() { return one + hidden; }\n'
    )
    entry = tmp_path / "entry.js"
    entry.write_text(
        'import { two as zwei } from "./two.js";\nimport { one } from "./deep/one.js";\nexport default zwei() + one;\n'
    )
    script = bundle.bundle(entry)
    assert script.index("// one.js") < script.index("// two.js") < script.index("export default")
    assert "import" not in script and "const { two: zwei } = module1;" in script
    (tmp_path / "loop.js").write_text('import { loop } from "./loop.js";\n')
    with pytest.raises(ValueError, match="imports itself"):
        bundle.bundle(tmp_path / "loop.js")


def colours() -> dict[str, tuple[str, str]]:
    """The colours of the tokens, on a light and on a dark page."""
    pairs = re.findall(r"--llmx-([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", bundle.tokens())
    return {name: (light, dark) for name, light, dark in pairs}


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_the_tokens_can_be_read(theme: int) -> None:
    """WCAG AA: text 4.5:1 on each ground it stands on, edges of controls 3:1."""
    known = {name: rgb(pair[theme]) for name, pair in colours().items()}
    for ground in ("ground", "raised", "sunken"):
        for ink in ("ink", "dim"):
            assert contrast(known[ink], known[ground]) >= 4.5, (ink, ground)
    for ink, ground in (
        ("accent", "ground"), ("accent", "accent-soft"), ("accent-ink", "accent"), ("ink", "accent-soft"),
        ("good", "good-soft"), ("warn", "warn-soft"), ("bad", "bad-soft"), ("bad", "ground"), ("mark-ink", "mark"),
    ):  # fmt: skip
        assert contrast(known[ink], known[ground]) >= 4.5, (ink, ground)
    assert contrast(known["edge"], known["ground"]) >= 3


def test_the_style_stays_in_the_panel() -> None:
    """No rule without one of our classes; no address but the page's own."""
    sheet = re.sub(r"/\*.*?\*/", "", bundle.style(), flags=re.DOTALL)
    for selector in re.findall(r"(?:^|[{}])\s*([^{}@]+?)\s*\{", sheet):
        if not re.fullmatch(r"from|to|\d+%", selector):
            assert ".llmx" in selector, selector
    assert "url(" not in sheet and "@import" not in sheet
    assert 1_000_000 < len(plotly_script()) < 1_800_000


def test_plotly_becomes_a_module() -> None:
    """Without the function around it; a wrapping that is not known stays, and finds the modules it looks for."""
    script = gzip.decompress(plotly_script())
    assert b"root, factory" not in script[:2000] and script.endswith(b"export default Plotly;\n")
    other = as_module(b"module.exports = { version: 1 };")
    assert other.startswith(b"const module") and other.endswith(b"export default module.exports;\n")


SHOW = """
from tests.widgets.test_frontend import Counter
from llm_magics.widgets.frontend.twin import display_with_widget
counter = Counter()
display_with_widget(lambda: ("<p>the static " "twin</p>", "text"), lambda: counter.panel.widget, "")
""".strip()


def an_empty_choice_is_kept(page: Lab) -> None:
    """An option whose value is "" has that value, in a group too, and not its text."""
    from selenium.webdriver.support.ui import Select

    box = Select(page.find(".llmx-root select")[0])
    assert box.first_selected_option.text == "A"
    for text in ("nothing", "also nothing"):
        box.select_by_visible_text("B")
        page.until(lambda: 'chosen: "b"' in page.text())
        box.select_by_visible_text(text)
        page.until(lambda: 'chosen: ""' in page.text())


@pytest.mark.timeout(300)
@pytest.mark.checklist("W10", "W6")
def test_a_panel_lives_in_jupyterlab_and_leaves_its_twin(tmp_path: Path) -> None:
    """Parts and intents, keys, theme, stale parts, Plotly without a network; later the twin alone."""
    from selenium.webdriver.common.keys import Keys

    with lab(tmp_path, [SHOW, "1"]) as page:
        page.run()
        count = "return document.querySelector('.llmx-root .count')?.textContent"
        page.until(lambda: page.js(count) == "0")
        assert page.js("return document.querySelector('.sum').textContent") == "Float32Array 6"
        assert "the static twin" not in page.text()
        button = {one.text: one for one in page.find(".llmx-root .llmx-button")}
        button["Add"].click()
        page.until(lambda: page.js(count) == "2")
        page.ask("counter.panel.widget.send({'parts': {'count': [1, 'old']}})")
        button["Fail"].click()
        page.until(lambda: "this can't be done." in page.text())
        assert page.js(count) == "2", "a stale part is dropped"
        button["Ask"].click()
        page.until(lambda: "42" in page.js("return document.querySelector('.llmx-status').textContent"))
        an_empty_choice_is_kept(page)
        # The notebook's own shortcuts, such as d d, stay away while the panel has the focus.
        page.keys("d", "d", "a")
        assert len(page.find(".jp-Cell")) == 2
        page.find(".llmx-root [aria-label='More']")[0].send_keys(Keys.ENTER)
        page.until(lambda: page.find(".llmx-menu"))
        page.keys(Keys.ENTER)
        page.until(lambda: page.js(count) == "12" and not page.find(".llmx-menu"))
        button["Chart"].click()
        page.until(lambda: "Plotly 4" in page.text() or "Plotly 3" in page.text())
        page.command("apputils:change-theme", {"theme": "JupyterLab Dark"})
        page.until(lambda: page.find(".llmx-root[data-theme='dark']"))
        ground = "return getComputedStyle(document.querySelector('.llmx-root')).backgroundColor"
        page.until(lambda: page.js(ground) == "rgb(22, 24, 28)")
        page.picture("counter")
        page.command("docmanager:save")
        page.until(lambda: "the static twin" in (tmp_path / "n.ipynb").read_text())
        assert (tmp_path / "n.ipynb").stat().st_size < 20_000, "no script is saved"
        page.open()
        page.until(lambda: page.js(count) == "12")
        page.command("kernelmenu:shutdown")
        page.open()
        page.until(lambda: "the static twin" in page.text())
        assert "model not found" not in page.text() and "Loading widget" not in page.text()
