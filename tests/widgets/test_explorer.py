"""The explorer at the kernel's side: real widgets, no front end."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from llm_magics import Concept, ConceptSet
from llm_magics.tasks.concepts.explorer import detail, figures, static
from llm_magics.tasks.concepts.explorer.explorer import Explorer
from llm_magics.tasks.concepts.model.documents import Documents
from llm_magics.tasks.concepts.model.scores import Column, Score
from llm_magics.widgets import theme
from llm_magics.widgets.html import marked
from tests.contrast import contrast, rgb

EVIL = '<script>window.pwned=1</script><img src=x onerror="window.pwned=1"> & "quoted" \'text\''


def scored(n: int = 60, k: int = 3, columns: int = 1, text: str = "document") -> ConceptSet:
    """``n`` documents, of which concept i matches every k-th from i on; places and slices made up."""
    data = pd.DataFrame({"text": [f"{text} number {i} of many. It goes on." for i in range(n)]})
    for c in range(columns):
        data[f"slice{c}"] = [f"group {i % (c + 2)}" for i in range(n)]
    made = ConceptSet(
        [Concept("", f"concept {i}", f"Is it {i}?") for i in range(k)],
        Documents.read(data, "text"),
        places=np.random.default_rng(0).normal(size=(n, 2)).astype(np.float32),
    )
    for i, concept in enumerate(made.concepts):
        scores = tuple(Score(float(row % k == i), "because", "It goes on.") for row in range(n))
        made.score_table.columns[concept.criterion] = Column(scores)
    return made


def press(explorer: Explorer, button: str) -> None:
    explorer.controls.buttons[button].click()


def lasso(explorer: Explorer, points: list[int], kind: str = "plotly_selected") -> None:
    """What plotly's front end sends."""
    points_object = {
        "trace_indexes": [0] * len(points),
        "point_indexes": points,
        "xs": [0.0] * len(points),
        "ys": [0.0] * len(points),
    }
    explorer.figure._js2py_pointsCallback = {
        "event_type": kind,
        "points": points_object,
        "device_state": {
            "alt": False,
            "ctrl": False,
            "meta": False,
            "shift": False,
            "button": 0,
            "buttons": 1,
        },
        "selector": {"type": "lasso", "selector_state": {"xs": [], "ys": []}},
    }


def widgets_in(box: Any) -> list[Any]:
    found, queue = [], [box]
    while queue:
        widget = queue.pop()
        found.append(widget)
        queue += list(getattr(widget, "children", ()))
        queue += [
            getattr(widget, name)
            for name in ("layout", "style")
            if hasattr(getattr(widget, name, None), "comm")
        ]
    return found


def payload(box: Any) -> int:
    """Bytes of all widget states, binary arrays included, plotly's own code left out."""
    from ipywidgets.widgets.widget import _remove_buffers

    total = 0
    for widget in widgets_in(box):
        state, _, buffers = _remove_buffers(widget.get_state())
        for bundle in ("_esm", "_css"):
            state.pop(bundle, None)
        total += len(json.dumps(state, default=str)) + sum(memoryview(b).nbytes for b in buffers)
    return total


@pytest.mark.checklist("W1")
def test_buttons_do_what_the_methods_do() -> None:
    """Choose, merge, rename, add, tick, lock, delete, undo: state is in Python at once, and replays."""
    themes = scored()
    explorer = themes.explore()
    ui = explorer.widget and explorer.controls
    ids = [key for _, key in ui.listing.options]
    ui.listing.value = tuple(ids[:2])
    press(explorer, "merge")
    assert themes.names == ["concept 0", "concept 2"] and len(themes.rows("concept 0")) == 40
    ui.name.value = "both <b>"
    press(explorer, "rename")
    assert themes.names[0] == "both <b>" and ui.name.value == ""
    ui.name.value, ui.criterion.value = "mine", "Is it mine?"
    press(explorer, "add")
    assert explorer.concept is not None and explorer.concept.name == "mine" and "mine" in themes.names
    press(explorer, "none")
    assert themes.selected == ()
    press(explorer, "all")
    press(explorer, "lock")
    press(explorer, "delete")
    assert "locked" in explorer.status and "mine" in themes.names
    press(explorer, "undo")
    press(explorer, "delete")
    assert "mine" not in themes.names
    assert [edit.verb for edit in explorer.history] == [
        "merge",
        "rename",
        "add",
        "deselect",
        "select",
        "delete",
    ]
    space: dict[str, Any] = {}
    exec(explorer.to_code(), space)
    assert space["themes"].concepts == themes.concepts
    while themes.can_undo:
        press(explorer, "undo")
    assert themes.names == ["concept 0", "concept 1", "concept 2"] and ui.buttons["undo"].disabled


def test_edits_made_in_code_show_in_the_widget() -> None:
    """And a search narrows the list, never the set."""
    themes = scored()
    explorer = themes.explore()
    ui = explorer.widget and explorer.controls
    themes.rename("concept 1", "renamed in code")
    assert any("renamed" in said for said, _ in ui.listing.options)
    ui.search.value = "renamed"
    assert len(ui.listing.options) == 1 and len(themes) == 3


@pytest.mark.checklist("W2")
def test_a_click_in_the_matrix_opens_concept_and_slice() -> None:
    """The one trace becomes a matrix, by counts and both shares; a cell leads to its documents."""
    themes = scored(60, 3, 2)
    explorer = themes.explore(slice="slice1")
    ui = explorer.widget and explorer.controls
    ui.view.value = "Matrix"
    assert len(explorer.figure.data) == 1 and explorer.figure.data[0].type == "scattergl"
    groups, counts, _ = themes.counted("slice1")
    assert list(explorer.figure.data[0].text) == [str(n) for line in counts for n in line]
    lasso(explorer, [1 * len(groups) + 2], "plotly_click")
    assert (
        explorer.concept is not None and explorer.concept.name == "concept 1" and explorer.group == groups[2]
    )
    assert ui.group.value == groups[2] and f"of {counts[1][2]}" in ui.detail.value
    ui.by.value = "slice"
    assert explorer.figure.data[0].text[0].endswith("%")
    ui.view.value = "Prevalence"
    lasso(explorer, [0], "plotly_click")
    assert explorer.group is None


@pytest.mark.checklist("W3")
def test_detail_has_matches_and_the_rest_in_pages_of_twenty() -> None:
    """Criterion, rationale, marked highlight; the next page; non-matches, failed, not asked."""
    themes = scored(90)
    themes.put_scores("concept 0", {1: Score(math.nan, error="the answer <was> empty")})
    explorer = themes.explore()
    ui = explorer.widget and explorer.controls
    assert ui.detail.value.count('class="doc"') == 20 and "1–20 of 30" in ui.detail.value
    assert "<mark>It goes on.</mark>" in ui.detail.value and "because" in ui.detail.value
    ui.forth.click()
    assert "21–30 of 30" in ui.detail.value and ui.forth.disabled
    ui.mode.value = "non-matches"
    assert "of 59" in ui.detail.value
    ui.mode.value = "failed"
    assert "the answer &lt;was&gt; empty" in ui.detail.value


@pytest.mark.checklist("W3")
def test_lasso_and_click_select_documents() -> None:
    """The selection is rows of the user's own frame; a click shows one document with all its scores."""
    themes = scored()
    explorer = themes.explore()
    ui = explorer.widget and explorer.controls
    ui.drag.value = "Lasso"
    assert explorer.figure.layout.dragmode == "lasso" and explorer.figure.layout.hovermode is False
    lasso(explorer, [3, 1, 40])
    assert explorer.rows == [1, 3, 40] and list(explorer.selection.index) == [1, 3, 40]
    assert ui.detail.value.count('class="doc"') == 3
    press(explorer, "add")
    assert themes.concepts[-1].examples == (1, 3, 40) and themes.concepts[-1].name
    ui.drag.value = "Click"
    lasso(explorer, [7], "plotly_click")
    assert explorer.rows == [7] and "document number 7" in ui.detail.value
    assert ui.detail.value.count("<tr>") == 1 + len(themes.selected)


@pytest.mark.checklist("W3")
def test_the_payload_is_bounded() -> None:
    """5,000 documents x 20 concepts x 5 slices: under 2 MB once, far less than LLooM's 33 MB for 500."""
    themes = scored(5000, 20, 5, "a document of some length, " * 20)
    explorer = themes.explore(slice="slice0")
    assert payload(explorer.widget) < 2_000_000
    explorer.show("Matrix")
    explorer.choose("concept 3")
    assert payload(explorer.widget) < 2_000_000
    explorer.close()


def test_points_are_drawn_up_to_a_limit_and_every_concept_keeps_some() -> None:
    """20,000 by default with a notice; a rare concept keeps at least 50 of its documents."""
    owners = np.array([0] * 30_000 + [1] * 60 + [-1] * 5_000)
    rows = figures.sampled(owners, 20_000)
    assert len(rows) <= 20_000 and (owners[rows] == 1).sum() >= 50 and (np.diff(rows) > 0).all()
    themes = scored(300)
    explorer = themes.explore(max_points=200)
    assert explorer.widget and "showing 200 of 300 documents" in explorer.controls.legend.value


@pytest.mark.parametrize("view", ["Map", "Matrix", "Prevalence"])
def test_arrays_can_be_sent(view: str) -> None:
    """Numbers go as contiguous binary, in the smallest type that holds them; labels are few."""
    themes = scored()
    explorer = themes.explore(slice="slice0")
    explorer.show(view)
    for path, value in figures.paths(explorer.picture().trace):
        if isinstance(value, np.ndarray):
            assert value.flags["C_CONTIGUOUS"] and value.dtype in (np.float32, np.uint8), path
        elif isinstance(value, list):
            assert len(value) < 300, path


class Inert(HTMLParser):
    """Finds anything in a page that could run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "img", "iframe", "object", "embed", "link", "form", "a"):
            self.found.append(tag)
        self.found += [
            name for name, value in attrs if name.startswith("on") or "javascript:" in (value or "")
        ]


@pytest.mark.checklist("W5")
def test_documents_and_names_with_markup_are_inert_everywhere() -> None:
    """Widget, static summary, page, axis labels: text stays text."""
    themes = scored(30, 2, 1, EVIL)
    themes.rename("concept 0", EVIL)
    themes.edit("concept 1", criterion=EVIL, summary=EVIL, keywords=[EVIL])
    themes.put_scores("concept 1", {0: Score(1.0, EVIL, EVIL), 1: Score(error=EVIL)})
    themes.documents.frame.native["slice0"] = [EVIL, "other"] * 15
    explorer = themes.explore(slice="slice0")
    explorer.widget.layout.width = "100%"
    pages = [
        explorer.to_html(),
        static.summary(themes, "slice0"),
        explorer.detail(),
        explorer.controls.legend.value,
    ]
    for mode in detail.MODES:
        explorer.choose("concept 1")
        explorer.list_mode(mode)
        pages.append(explorer.controls.detail.value)
    explorer.look_at(0)
    pages += [explorer.controls.detail.value, explorer.controls.status.value]
    for number, page in enumerate(pages):
        seen = Inert()
        seen.feed(page)
        assert seen.found == (["script", "script"] if number == 0 else []), page[:300]
    assert any("&lt;script&gt;" in page for page in pages)
    for view in ("Matrix", "Prevalence"):
        explorer.show(view)
        for axis in (explorer.figure.layout.xaxis, explorer.figure.layout.yaxis):
            assert not any("<" in said for said in axis.ticktext or ())
    assert all(
        not widget.description_allow_html
        for widget in widgets_in(explorer.widget)
        if hasattr(widget, "description_allow_html")
    )


def test_marks_stand_where_the_quote_is() -> None:
    """Escaping comes after finding: a quote with markup is found; an empty one marks nothing."""
    assert marked("a <b> c", "<b>") == "a <mark>&lt;b&gt;</mark> c"
    assert "<mark>" not in marked("text", "") and "<mark>" not in marked("text", "other")
    assert "<mark>needle</mark>" in marked("x" * 5000 + "needle" + "y" * 5000, "needle", 500)
    assert len(marked("İ" * 50 + "abc", "abc")) < 200


@pytest.mark.checklist("W6", "X10")
def test_the_page_needs_nothing_but_a_browser(tmp_path: Path) -> None:
    """One file: no address, a policy that allows its own script alone; map, counts and documents in it."""
    explorer = scored(200).explore(slice="slice0")
    page = explorer.to_html(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page
    assert not re.findall(r"https?://|url\(|@import", page)
    assert "default-src 'none'" in page and page.count("<use ") == 200 and page.count("<details>") == 3
    assert "document number 0" in page
    script = re.search(r"<script>(.*)</script>", page, re.DOTALL)
    assert script and page.count("<script") == 2
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page


@pytest.mark.checklist("W6")
def test_the_summary_is_an_output_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """Static HTML and text first, then the widget; without widgets the summary alone."""
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    InteractiveShell.instance()
    try:
        with capture_output() as shown:
            scored().explore()._ipython_display_()
        first, second = (output.data for output in shown.outputs)
        assert "needs its kernel" in first["text/html"] and "concept 0" in first["text/plain"]
        assert (
            "application/vnd.jupyter.widget-view+json" in second
            and "application/vnd.jupyter.widget-view+json" not in first
        )
        with capture_output() as shown:
            scored().explore(interactive=False)._ipython_display_()
        assert len(shown.outputs) == 1 and "needs its kernel" not in shown.outputs[0].data["text/html"]
    finally:
        InteractiveShell.clear_instance()


def test_colours_never_stand_alone() -> None:
    """Colour and shape together tell 64 concepts apart; controls have labels; the list tells all in words."""
    assert len({(theme.colour(n), theme.shape(n)) for n in range(64)}) == 64
    explorer = scored().explore()
    assert explorer.widget
    for widget in widgets_in(explorer.widget):
        kind = type(widget).__name__
        if kind in ("Button", "Text", "Textarea", "Dropdown"):
            assert widget.description, kind
    assert re.search(r"☑.*20.*concept 0", explorer.controls.listing.options[0][0].replace("\xa0", " "))


def test_the_theme_repaints_without_new_points() -> None:
    """Dark ink on light ground and back; the arrays are not sent again."""
    explorer = scored().explore()
    assert explorer.widget
    before = explorer.figure.data[0].x
    explorer.controls.probe.theme = "dark"
    assert explorer.figure.layout.font.color == theme.INK["dark"]
    assert explorer.figure.layout.paper_bgcolor == "rgba(0,0,0,0)"
    assert explorer.figure.data[0].x is before or np.array_equal(explorer.figure.data[0].x, before)


SIGHTS = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
"""What is left of linear red, green and blue (Machado, Oliveira and Fernandes 2009, severity 1)."""


def in_lab(linear: np.ndarray) -> np.ndarray:
    """CIELAB under D65 of linear sRGB, shape (n, 3)."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = np.clip(linear, 0, 1) @ to_xyz.T / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


@pytest.mark.parametrize("sight", ["full", *SIGHTS])
def test_the_colours_stay_apart_and_stand_out(sight: str) -> None:
    """3:1 with a light and with a dark page; no two alike for any kind of colour vision."""
    for colour in (*theme.COLOURS, theme.NO_COLOUR):
        assert min(contrast(rgb(colour), ground) for ground in ((255, 255, 255), (17, 17, 17))) >= 3, colour
    parts = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in theme.COLOURS])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    seen = in_lab(linear @ np.array(SIGHTS.get(sight, np.eye(3))).T)
    apart = np.linalg.norm(seen[:, None] - seen[None], axis=2)[np.triu_indices(len(seen), 1)]
    assert apart.min() > 11


def test_another_gesture_sends_no_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """Click to Lasso and back is a word about the layout: with 100,000 points it was four drawings of all."""
    explorer = scored().explore()
    ui = explorer.widget and explorer.controls
    sent: list[Any] = []
    monkeypatch.setattr(explorer.figure, "_send_update_msg", lambda *a, **k: sent.append(("update", k)))
    monkeypatch.setattr(explorer.figure, "_send_restyle_msg", lambda *a, **k: sent.append(("restyle", a)))
    ui.drag.value = "Lasso"
    assert not sent and explorer.figure.layout.dragmode == "lasso"
    lasso(explorer, [1, 2])
    ui.drag.value = "Click"
    assert [what for what, _ in sent] == ["restyle"] * len(sent)
    assert [list(said[0]) for _, said in sent] == [["selectedpoints"]] * len(sent)
    assert sent[-1][1] == ({"selectedpoints": [None]},)


def test_a_page_that_comes_later_gets_the_picture() -> None:
    """Plotly keeps the empty chart of the beginning for it; ours tells what is shown now."""
    explorer = scored().explore()
    assert explorer.widget
    explorer.controls.probe.theme = "dark"
    state = explorer.figure.get_state()
    assert state["_widget_data"][0]["x"]["shape"] == (60,)
    assert state["_widget_layout"]["font"]["color"] == theme.INK["dark"]


def test_many_concepts_have_room() -> None:
    """A line of the matrix never lies on the next."""
    explorer = scored(200, 40).explore(slice="slice0")
    assert explorer.widget
    for view in ("Matrix", "Prevalence"):
        explorer.show(view)
        assert explorer.figure.layout.height > 40 * 28
        assert np.max(explorer.figure.data[0].marker.size) <= 30
    explorer.show("Map")
    assert explorer.figure.layout.height == figures.HEIGHT


def test_one_explorer_a_set() -> None:
    """Showing again closes the widget before: each would carry plotly's whole code."""
    themes = scored()
    first = themes.explore()
    box = first.widget
    second = themes.explore()
    assert first.controls is None and box.comm is None and themes.explorer is second
    assert len(themes._watchers) <= 1


class Slow:
    """A scorer whose job runs until told to end."""

    def __init__(self) -> None:
        from llm_magics.engine.loop import LoopThread

        self.loop = LoopThread()
        self.free = False
        self.go = False

    def estimate_scores(self, concepts: ConceptSet, ids: Any) -> str:
        return "score: 60 calls, $0.01-0.02"

    def rescore(self, concepts: ConceptSet, ids: Any, *, failed: bool = True) -> Any:
        import asyncio

        async def work() -> None:
            while not self.go:
                await asyncio.sleep(0.01)
            concepts.score_table.put(
                "Is it new?", {row: Score(1.0) for row in range(len(concepts.documents))}
            )
            concepts.changed()

        return self.loop.submit(work(), "1")


def test_scoring_shows_its_cost_first_and_goes_on_beside_the_notebook() -> None:
    """First press: the price. Second: a job, live meanwhile; answers for what was deleted since are dropped."""
    themes = scored()
    themes.scorer = slow = Slow()
    explorer = themes.explore()
    assert explorer.widget
    themes.add("new", "Is it new?")
    press(explorer, "rescore")
    assert "$0.01" in explorer.status and explorer.actions.job is None
    press(explorer, "rescore")
    job = explorer.actions.job
    assert job.status == "running"
    themes.rename("new", "newer")
    themes.add("gone", "Is it gone?")
    themes.delete("gone")
    slow.go = True
    end = time.monotonic() + 20
    while explorer.status != "Scored." and time.monotonic() < end:
        time.sleep(0.02)
    assert explorer.status == "Scored." and len(themes.rows("newer")) == 60 and "gone" not in themes
    slow.loop.close()
