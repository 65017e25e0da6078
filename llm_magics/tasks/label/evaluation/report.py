"""An evaluation as HTML tables, without script and style sheet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llm_magics.widgets.html import cut, escape

MOST = 30
"""With more labels than this, the largest confusions are listed instead of the whole table."""
LISTED = 20
NAME = 40
RIGHT, WRONG = (0, 102, 170), (181, 63, 11)
"""Blue for labels that are right, brown for wrong ones: told apart by every kind of colour vision."""
SOLID = 0.75
"""From this share on the colour is solid. Below it the page's background shines through, so that small
shares stand out little in a light and in a dark theme; the number has a contrast of 4.5:1 in both.
"""
_CELL = "padding:2px 8px;text-align:right;white-space:nowrap"
_NAME = "padding:2px 8px;text-align:left;white-space:nowrap"


def page(summary: str, scores: Any, confusion: Any = None, reliability: Any = None) -> str:
    """The summary, and frames as tables: scores by label, confusion matrix, accuracy by confidence."""
    parts = [f"<p>{escape(summary)}</p>", by_label(scores)]
    parts += [] if confusion is None else [confused(confusion)]
    parts += [] if reliability is None else [trusted(reliability)]
    return "".join(parts)


def trusted(reliability: Any) -> str:
    """Accuracy by confidence as a table."""
    lines = [
        (
            _head(f"{one.confidence:.2f}"),
            _plain(f"{one.accuracy:.2f}"),
            _plain(f"{one.low:.2f}-{one.high:.2f}"),
            _plain(f"{int(one.rows):,}"),
        )
        for one in reliability.itertuples()
    ]
    return _table("Confidence and the share that is right", ["confidence", "right", "95%", "rows"], lines)


def by_label(scores: Any) -> str:
    """Precision, recall, F1 and rows of each label."""
    lines = [
        (name, *("" if value != value else f"{value:.3f}" for value in values[:-1]), f"{int(values[-1]):,}")
        for name, *values in scores.itertuples()
    ]
    heads = ["label", *scores.columns[:-1], "rows"]
    return _table("Scores by label", heads, [(_head(name), *map(_plain, rest)) for name, *rest in lines])


def confused(counts: Any) -> str:
    """The confusion matrix as a table, shaded by the share of each true label's rows."""
    if len(counts) > MOST:
        return _largest(counts)
    names, values = list(counts.columns), counts.to_numpy()
    lines = []
    for true, row in zip(counts.index, values, strict=True):
        whole = max(1, int(row.sum()))
        cells = [_shaded(int(n), n / whole, right=name == true) for name, n in zip(names, row, strict=True)]
        lines.append((_head(true), *cells))
    said = (
        "True labels down, given ones across; shaded by the share of the true label's rows, "
        "blue where right, brown where wrong"
    )
    return _table(said, ["true \\ given", *names], lines)


def _largest(counts: Any) -> str:
    found = [
        (int(n), int(n) / max(1, int(row.sum())), true, given)
        for true, row in counts.iterrows()
        for given, n in row.items()
        if given != true and n
    ]
    found.sort(key=lambda one: -one[0])
    lines = [
        (_head(true), _head(given, "td"), _shaded(n, share, right=False), _plain(f"{share:.0%}"))
        for n, share, true, given in found[:LISTED]
    ]
    said = (
        f"The largest confusions, of {len(found):,}; the whole table of {len(counts):,} labels is .confusion"
    )
    return _table(said, ["true", "given", "rows", "share of true"], lines)


def _table(caption: str, heads: Sequence[Any], lines: Sequence[Sequence[str]]) -> str:
    top = "".join(
        f'<th scope="col" style="{_CELL if i else _NAME}">{escape(cut(str(head), NAME))}</th>'
        for i, head in enumerate(heads)
    )
    body = "".join(f"<tr>{''.join(line)}</tr>" for line in lines)
    return (
        '<div style="overflow-x:auto"><table style="border-collapse:collapse">'
        f'<caption style="caption-side:top;text-align:left;color:inherit">{escape(caption)}</caption>'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _head(name: Any, tag: str = "th") -> str:
    scope = ' scope="row"' if tag == "th" else ""
    return f'<{tag}{scope} style="{_NAME}">{escape(cut(str(name), NAME))}</{tag}>'


def _plain(value: Any) -> str:
    return f'<td style="{_CELL}">{escape(value)}</td>'


def _shaded(count: int, share: float, *, right: bool) -> str:
    """A number on its colour: in the page's text colour on a translucent one, in white on a solid one."""
    if not count:
        return f'<td style="{_CELL};opacity:.7">0</td>'
    red, green, blue = RIGHT if right else WRONG
    if share < SOLID:
        colours = f"background:rgba({red},{green},{blue},{0.1 + 0.6 * share / SOLID:.2f})"
    else:
        colours = f"background:rgb({red},{green},{blue});color:#fff"
    return f'<td style="{_CELL};{colours}">{count:,}</td>'
