"""An evaluation as HTML tables without script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llm_magics.widgets.html import cut, escape
from llm_magics.widgets.output.style import output_block, scrolled

MOST = 30
"""With more labels than this, the largest confusions are listed instead of the whole table."""
LISTED = 20
NAME = 40
ACROSS = 60
"""Characters of all names that fit across a table's head; longer ones stand upright."""
RIGHT, WRONG = (0, 102, 170), (181, 63, 11)
"""Blue for labels that are right, brown for wrong ones: told apart by every kind of colour vision."""
SOLID = 0.75
"""From this share on the colour is solid. Below it the page's background shines through, so that small
shares stand out little in a light and in a dark theme; the number has a contrast of 4.5:1 in both.
"""


def page(
    facts: Sequence[tuple[str, str]], scores: Any, confusion: Any = None, reliability: Any = None
) -> str:
    """The facts in a line, then frames as tables: scores by label, confusion, accuracy by confidence."""
    head, *rest = (f"{escape(value)} <span>{escape(name)}</span>" for name, value in facts)
    said = "".join(f'<span class="llmx-fact">{one}</span>' for one in rest)
    parts = [f'<p class="llmx-facts"><b>{head}</b>{said}</p>', by_label(scores)]
    parts += [] if confusion is None else [confused(confusion)]
    parts += [] if reliability is None else [trusted(reliability)]
    return output_block(*parts, name="evaluation", kind="llmx-evaluation")


def trusted(reliability: Any) -> str:
    """Accuracy by confidence as a table."""
    lines = [
        (
            _head(f"{one.confidence:.2f}", number=True),
            _plain(f"{one.accuracy:.2f}"),
            _plain(f"{one.low:.2f} to {one.high:.2f}"),
            _plain(f"{int(one.rows):,}"),
        )
        for one in reliability.itertuples()
    ]
    heads = ["confidence", "right", "95% interval", "rows"]
    return _table("Confidence and the share that is right", heads, lines, names=0)


def by_label(scores: Any) -> str:
    """Precision, recall, F1 with its interval, and rows of each label."""
    lines = []
    for name, *values in scores.itertuples():
        precision, recall, f1, low, high, rows = values
        spread = "" if low != low else f"{low:.3f} to {high:.3f}"
        told = ["" if one != one else f"{one:.3f}" for one in (precision, recall, f1)]
        lines.append((_head(name), *map(_plain, [*told, spread, f"{int(rows):,}"])))
    return _table("Scores by label", ["label", "precision", "recall", "F1", "95% interval", "rows"], lines)


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
    said = "Confusion: true labels down, given ones across. Blue is right, brown is wrong"
    upright = " llmx-upright" if sum(map(len, map(_name, names))) > ACROSS else ""
    return _table(said, ["true \\ given", *names], lines, kind=f"llmx-confusion{upright}")


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
    return _table(said, ["true", "given", "rows", "share of true"], lines, names=2)


def _table(
    caption: str, heads: Sequence[Any], lines: Sequence[Sequence[str]], *, names: int = 1, kind: str = ""
) -> str:
    """A table whose columns from the ``names``-th on are numbers."""
    top = "".join(
        f'<th scope="col"{_CELL if i >= names else ""}><span>{escape(_name(head))}</span></th>'
        for i, head in enumerate(heads)
    )
    body = "".join(f"<tr>{''.join(line)}</tr>" for line in lines)
    said = escape(caption)
    table = (
        f'<table class="llmx-rows {kind}"><caption><span>{said}</span></caption>'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    )
    return scrolled(table, said)


_CELL = ' class="llmx-n"'


def _head(name: Any, tag: str = "th", *, number: bool = False) -> str:
    scope = ' scope="row"' if tag == "th" else ""
    kind = _CELL if number else ' class="llmx-name"'
    return f"<{tag}{scope}{kind}>{escape(_name(name))}</{tag}>"


def _name(name: Any) -> str:
    return cut(str(name), NAME)


def _plain(value: Any) -> str:
    return f"<td{_CELL}>{escape(value)}</td>"


def _shaded(count: int, share: float, *, right: bool) -> str:
    """A number on its colour: in the page's text colour on a translucent one, in white on a solid one."""
    if not count:
        return '<td class="llmx-n llmx-dim">0</td>'
    red, green, blue = RIGHT if right else WRONG
    if share < SOLID:
        colours = f"background:rgba({red},{green},{blue},{0.1 + 0.6 * share / SOLID:.2f})"
    else:
        colours = f"background:rgb({red},{green},{blue});color:#fff"
    return f'<td class="llmx-n" style="{colours}">{count:,}</td>'
