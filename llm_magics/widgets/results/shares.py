"""Shares of rows as bars: how often each label, or each value, was given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llm_magics.widgets.html import cut, escape
from llm_magics.widgets.theme import ON_BOTH

MOST_SHARES = 15
"""The most bars in sight; the others are behind a line that opens them."""

NAMED = 80
"""Characters of a name that are shown."""


@dataclass(frozen=True)
class Share:
    """A name, the number of rows that have it, and their mean confidence.

    ``colour`` is the place of its colour; None gives it no colour of its own, -1 the colour of what is
    missing.
    """

    name: str
    rows: int
    confidence: float | None = None
    colour: int | None = None


def own_colours(labels: int) -> bool:
    """Whether that many labels have a colour each; more would have to share them."""
    return labels <= len(ON_BOTH)


def swatch(colour: int | None) -> str:
    """A small square of the colour; empty where there is none."""
    if colour is None:
        return ""
    fill = f' style="background:{ON_BOTH[colour]}"' if colour >= 0 else ""
    return f'<span class="llmx-swatch" aria-hidden="true"{fill}></span>'


def shares_html(shares: Sequence[Share], total: int, head: str) -> str:
    """The shares of ``total`` rows as a table of bars, in this order; ``head`` names the first column."""
    confident = any(share.confidence is not None for share in shares)
    widest = max((share.rows for share in shares), default=0) or 1
    shown, rest = shares[:MOST_SHARES], shares[MOST_SHARES:]
    table = _table(shown, total, widest, head, confident=confident)
    if not rest:
        return table
    more = _table(rest, total, widest, head, confident=confident)
    rows = sum(share.rows for share in rest)
    return f"{table}<details><summary>{len(rest):,} more, {rows:,} rows</summary>{more}</details>"


def _table(shares: Sequence[Share], total: int, widest: int, head: str, *, confident: bool) -> str:
    sure = '<th scope="col" class="llmx-n">confidence</th>' if confident else ""
    heads = (
        f'<tr><th scope="col" class="llmx-name">{escape(head)}</th><td class="llmx-track"></td>'
        f'<th scope="col" class="llmx-n">rows</th><th scope="col" class="llmx-n">share</th>{sure}</tr>'
    )
    lines = "".join(_line(share, total, widest, confident=confident) for share in shares)
    return f'<table class="llmx-shares"><thead>{heads}</thead><tbody>{lines}</tbody></table>'


def _line(share: Share, total: int, widest: int, *, confident: bool) -> str:
    colour = "var(--llmx-edge)" if share.colour == -1 else ON_BOTH[0]
    if share.colour is not None and share.colour >= 0:
        colour = ON_BOTH[share.colour]
    known = "" if share.confidence is None else f"{share.confidence:.2f}"
    sure = f'<td class="llmx-n">{known}</td>' if confident else ""
    bar = bar_html(share.rows / widest, colour)
    return (
        f'<tr><th scope="row" class="llmx-name"><span class="llmx-named">{swatch(share.colour)}'
        f"{escape(cut(share.name, NAMED))}</span></th>"
        f'<td class="llmx-track" aria-hidden="true" style="text-align:left">{bar}</td>'
        f'<td class="llmx-n">{share.rows:,}</td>'
        f'<td class="llmx-n">{percent(share.rows, total)}</td>{sure}</tr>'
    )


BLOCKS = 16
"""Characters of the longest bar where a page drops styles: there it is made of them."""


def bar_html(share: float, colour: str = "") -> str:
    """A bar of a share of its cell's width; nothing for none."""
    if not share:
        return ""
    fill = f";background:{colour};color:{colour}" if colour else ""
    return f'<span style="width:{100 * share:.1f}%{fill}">{"█" * max(1, round(BLOCKS * share))}</span>'


def percent(part: int, total: int) -> str:
    """A share in percent; one that is neither none nor all never looks like it."""
    if not part or not total:
        return "0%"
    share = 100 * part / total
    return "<1%" if share < 1 else ">99%" if 99 < share < 100 else f"{share:.0f}%"
