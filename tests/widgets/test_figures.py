"""Figures to publish: one template, sizes, intervals, names without overlap, nothing from rows as markup."""

from __future__ import annotations

import json
import re
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from llm_magics.core.errors import NotFound, UsageError
from llm_magics.core.intervals import wilson
from llm_magics.core.types import Concept
from llm_magics.runs import session as sessions
from llm_magics.tasks.concepts.concept_set import ConceptSet
from llm_magics.tasks.concepts.model.documents import Documents
from llm_magics.tasks.concepts.model.scores import Score
from llm_magics.tasks.label.evaluation.evaluation import evaluate
from llm_magics.widgets.figures.map import laid_out
from llm_magics.widgets.figures.placement import place
from llm_magics.widgets.figures.shading import png
from llm_magics.widgets.figures.template import PALETTES, SIZES, blend, readable, rgb
from llm_magics.widgets.figures.text import fitting, lines_of, width_of
from llm_magics.widgets.theme import colour

EVIL = "<script>alert(1)</script><b>bold</b>"


def themes(n: int = 90, names: int = 6, evil: str = "") -> ConceptSet:
    """A scored set whose documents lie in as many heaps as there are concepts."""
    frame = pd.DataFrame(
        {"text": [f"document {i} {evil}" for i in range(n)], "side": [evil or "ab"[i % 2] for i in range(n)]}
    )
    if evil:
        frame.loc[: n // 2, "side"] = "other"
    found = [Concept("", f"{evil}Concept of some length {k}", f"Is it {k}?") for k in range(names)]
    draw = np.random.default_rng(0)
    middles = draw.normal(0, 5, (names, 2))
    places = middles[np.arange(n) % names] + draw.normal(0, 0.5, (n, 2))
    made = ConceptSet(found, Documents.read(frame, "text"), places=places)
    for k, concept in enumerate(made.concepts):
        made.put_scores(concept.id, {i: Score(float(i % names == k and i % 7 > 0)) for i in range(n)})
    return made


@pytest.mark.checklist("W14")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["map", "matrix", "prevalence"])
def test_figures_of_a_set_of_concepts(kind: str, size: str) -> None:
    """Title, n and source line; the width that was asked for; fonts of seven points in a paper's column."""
    figure = themes().plot(kind, slice="side", size=size)
    assert figure.layout.width == SIZES[size].width and figure.layout.height > 100
    said = [one.text for one in figure.layout.annotations]
    assert figure.layout.title.text.startswith("<b>") and any("90 texts" in text for text in said)
    sizes = re.findall(r'"size":\s*([\d.]+)', json.dumps(figure.layout.to_plotly_json(), default=str))
    if size == "column":
        assert SIZES[size].width / 96 == 3.5
        assert min(map(float, sizes)) >= 6.2  # CSS pixels; three quarters of them are points


@pytest.mark.checklist("W14")
@pytest.mark.parametrize("theme", PALETTES)
def test_themes_titles_and_sources_can_be_given(theme: str) -> None:
    """An empty title leaves its room; a dark ground; the source line one's own words."""
    figure = themes().plot(theme=theme, title="", source="My survey, 2026")
    assert figure.layout.title.text is None
    assert figure.layout.template.layout.paper_bgcolor == PALETTES[theme].ground
    assert "My survey, 2026" in [one.text for one in figure.layout.annotations]
    with pytest.raises(NotFound, match="size"):
        themes().plot(size="poster")
    with pytest.raises(NotFound, match="kind of figure"):
        themes().plot("pie")
    with pytest.raises(UsageError, match="which slices"):
        themes().plot("matrix")
    nothing = themes()
    nothing.deselect()
    with pytest.raises(UsageError, match="ticked"):
        nothing.plot()


@pytest.mark.checklist("W14", "W11")
@pytest.mark.parametrize(("names", "width"), [(6, 300), (20, 300), (20, 1200), (60, 700)])
def test_names_on_the_map_never_overlap(names: int, width: int) -> None:
    """Each name stands inside the map, over none of the others, or is named below."""
    draw = np.random.default_rng(1)
    owners = np.arange(names * 20) % names
    places = draw.normal(0, 5, (names, 2))[owners] + draw.normal(0, 0.4, (names * 20, 2))
    from llm_magics.widgets.figures.map import MapData

    data = MapData(
        places, owners, [f"Prices and the wider economy {n}" for n in range(names)], [""] * len(owners)
    )
    made = laid_out(data, width, width * 0.7, 10)
    assert len(made.labels) + len(made.unplaced) == names
    for one, other in combinations(made.labels, 2):
        assert not one.covers(other, 0)
    for label in made.labels:
        assert label.width / 2 <= label.x <= width - label.width / 2 + 1
    if names <= 20 and width > 1000:
        assert not made.unplaced


def test_a_name_without_texts_has_no_place() -> None:
    """None is skipped, and names come in order."""
    labels, left = place(["one", "two"], [None, (50.0, 50.0)], 100, 100, 10, 60)
    assert [label.number for label in labels] == [1] and left == [0]


@pytest.mark.checklist("W14")
@pytest.mark.parametrize("names", [6, 14])
def test_figures_of_many_lines_fit_on_a_slide(names: int) -> None:
    """A slide is 720 pixels high; lines come nearer, and each keeps the height of its type."""
    for kind in ("matrix", "prevalence"):
        figure = themes(280, names).plot(kind, slice="side", size="slide")
        assert figure.layout.height <= 722
    labels = [f"Label of some length {n}" for n in range(names)]
    truth = [labels[n % names] for n in range(20 * names)]
    assert evaluate(truth, truth[1:] + truth[:1], labels).plot(size="slide").layout.height <= 722


@pytest.mark.checklist("W14")
def test_prevalence_has_wilsons_intervals() -> None:
    """A point at the share, a bar over its 95% interval, share and count in figures."""
    figure = themes(60, 3).plot("prevalence")
    counts = sorted((len(themes(60, 3).rows(c.id)) for c in themes(60, 3)), reverse=True)
    bars = [trace for trace in figure.data if trace.mode == "lines"]
    assert [tuple(bar.x) for bar in bars] == [wilson(count, 60) for count in counts]
    assert f"{counts[0] / 60:.0%} ({counts[0]})" in figure.data[-1].text[0]


@pytest.mark.checklist("W14")
def test_an_evaluation_and_a_run_draw_themselves() -> None:
    """Confusion and reliability, labels and confidence; several labels a row by F1; what isn't there is said."""
    from llm_magics import label

    texts = [
        "the price is high",
        "it came late",
        "a fair price",
        "late again",
        "cheap",
        "slow courier",
    ] * 4
    truth = ["price", "late", "price", "late", "price", "late"] * 4
    data = pd.DataFrame({"text": texts, "truth": truth})
    label(data, on="text", labels=["price", "late"], truth="truth", progress=False)
    run = sessions.current().last
    assert run is not None
    figure = run.plot(size="column")
    assert sum(trace.mode == "markers" for trace in figure.data) == 2
    assert run.plot("confidence").data[0].type == "bar"
    assert run.evaluation.plot().data[0].type == "heatmap"
    assert len(run.evaluation.plot("reliability").data) == 2
    with pytest.raises(NotFound):
        run.plot("pie")
    with pytest.raises(UsageError, match="no confidence"):
        evaluate(["a", "b"], ["a", "b"], ["a", "b"]).plot("reliability")
    many = evaluate([["a"], ["a", "b"]] * 9, [["a"], ["b"]] * 9, ["a", "b"])
    assert "Macro-F1" in many.plot().layout.title.text
    label(data, on="text", labels=["price", "late"], multi=True, wide=True, progress=False)
    run = sessions.current().last
    assert run is not None
    wide = run.plot()
    assert "24 rows" in wide.layout.annotations[-1].text


@pytest.mark.checklist("W5")
@pytest.mark.parametrize("kind", ["map", "matrix", "prevalence"])
def test_markup_in_names_and_texts_is_text(kind: str) -> None:
    """Plotly reads some tags: none of the user's reaches it unescaped, and nothing is fetched."""
    said = themes(60, 3, EVIL).plot(kind, slice="side").to_json()
    assert "<script" not in said and "<b>bold" not in said and "\\u003cscript" not in said
    assert not re.search(r'"source":"https?:', said)


def test_text_is_measured_wrapped_and_cut() -> None:
    """Lines fit; a long word is cut; the last of too many lines says so."""
    lines = lines_of("Oil prices and the wider economy of the world", 80, 10)
    assert all(width_of(line, 10) <= 80 for line in lines) and " ".join(lines).startswith("Oil prices")
    assert fitting("incomprehensibilities", 40, 10).endswith("…")
    assert lines_of("a b c d e f", 5, 10, most=2)[-1].endswith("…") and lines_of("", 5, 10) == []


@pytest.mark.parametrize("theme", PALETTES)
def test_figures_in_cells_can_be_read(theme: str) -> None:
    """A contrast of 4.5:1 at every share, on both grounds, blue and brown (WCAG 1.4.3)."""
    from llm_magics.widgets.figures.template import _contrast

    colours = PALETTES[theme]
    for ink in (colour(0, theme), colour(0), colour(3)):
        for share in np.linspace(0, 1, 21):
            cell = blend(ink, colours.ground, float(share))
            assert _contrast(rgb(readable(cell, colours)), cell) >= 4.5


def test_a_picture_is_a_png() -> None:
    """The signature, the size, and bytes that inflate to rows with a filter byte each."""
    import zlib

    data = png(np.zeros((3, 5, 4), dtype=np.uint8))
    assert data.startswith(b"\x89PNG\r\n\x1a\n") and data[16:24] == b"\x00\x00\x00\x05\x00\x00\x00\x03"
    start = data.index(b"IDAT") + 4
    assert len(zlib.decompress(data[start:-16])) == 3 * (5 * 4 + 1)


def test_smoothing_is_scipys() -> None:
    """Without scipy's import; the kernel may be longer than the grid's half."""
    from scipy.ndimage import gaussian_filter

    from llm_magics.widgets.figures.smoothing import smoothed

    grid = np.random.default_rng(0).random((30, 220))
    for deviation in (0.7, 2.2, 5.0):
        np.testing.assert_allclose(smoothed(grid, deviation), gaussian_filter(grid, deviation), atol=1e-12)
