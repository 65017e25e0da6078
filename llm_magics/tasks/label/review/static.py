"""The review without its panel: what a saved, exported or printed notebook shows."""

from __future__ import annotations

from collections import Counter

from llm_magics.data.templates import cell_text
from llm_magics.tasks.label.columns import label_names
from llm_magics.tasks.label.review.panel import PAGE, Reviewed
from llm_magics.widgets.html import cut, escape
from llm_magics.widgets.output.style import output_block
from llm_magics.widgets.results.rows import Column, column, confidence_column, marks_html, rows_html
from llm_magics.widgets.results.shares import Share, own_colours, shares_html, swatch


def summary(review: Reviewed, rows: int = PAGE) -> str:
    """How the review stands, a person's labels so far, and the least certain rows; all of it escaped."""
    name, said = escape(cut(review.label, 60)), escape(str(review.progress))
    head = f'<p class="llmx-head"><b>Review of {name}</b> <span class="llmx-dim">{said}</span></p>'
    parts = [head, _labels_so_far(review), _least_certain(review, rows)]
    return output_block(*parts, name=f"review of {name}", kind="llmx-result")


def _labels_so_far(review: Reviewed) -> str:
    if not review.gold:
        return ""
    counts = Counter(name for word in review.gold.values() for name in label_names(word))
    coloured = own_colours(len(review.labels))
    shares = [
        Share(cell_text(name), counts[name], None, place if coloured else None)
        for place, name in enumerate(review.labels)
    ]
    return shares_html(shares, len(review.gold), "your label")


def _least_certain(review: Reviewed, most: int) -> str:
    rows = review.rows(state="to review")[:most] or review.rows()[:most]
    places = (
        {name: place for place, name in enumerate(review.labels)} if own_colours(len(review.labels)) else {}
    )
    labels = [
        "none of them"
        if review.current(row) == ()
        else marks_html(label_names(review.current(row)), lambda name: swatch(places.get(name)))
        for row in rows
    ]
    columns = [
        Column("row", "key", [f"{row:,}" for row in rows]),
        column("text", [review.texts[row] for row in rows], text=True),
        Column(review.label, "short", labels),
        column("state", [review.state(row) for row in rows]),
    ]
    if any(review.confidence[row] is not None for row in rows):
        columns.insert(3, confidence_column("confidence", [review.confidence[row] for row in rows]))
    return f"<p>Least certain first</p>{rows_html(columns, 'the least certain rows')}"
