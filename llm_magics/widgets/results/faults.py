"""Rows that failed, as a line that opens them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from llm_magics.widgets.html import cut, escape
from llm_magics.widgets.output.style import scrolled

MOST_FAULTS = 20
"""The most failed rows that are listed; ``llm.last.failures`` has them all."""


@dataclass(frozen=True)
class Fault:
    """A row that has no usable answer: what heads it, its text, its status and its error."""

    key: str
    text: str
    status: str
    error: str


def faults_html(faults: Sequence[Fault], total: int, hint: str = "") -> str:
    """A line with the number of such rows and their most frequent error; opened, the rows themselves.

    ``hint`` says what helps; empty HTML where no row failed.
    """
    if not faults:
        return ""
    statuses = Counter(fault.status for fault in faults)
    said = " and ".join(f"{n:,} {status}" for status, n in statuses.most_common())
    rows = "row" if total == 1 else "rows"
    errors = Counter(fault.error for fault in faults if fault.error)
    often = f": {errors.most_common(1)[0][0]}" if errors else ""
    line = escape(f"{said} of {total:,} {rows}{cut(often, 200)}")
    more = len(faults) - MOST_FAULTS
    rest = f"<p>{more:,} more: llm.last.failures</p>" if more > 0 else ""
    help_text = f"<p>{escape(hint)}</p>" if hint else ""
    table = scrolled(_table(faults[:MOST_FAULTS]), "rows without a usable answer")
    return f'<details class="llmx-fault"><summary>{line}</summary>{help_text}{table}{rest}</details>'


def _table(faults: Sequence[Fault]) -> str:
    heads = '<td class="llmx-key"></td>' + "".join(
        f'<th scope="col">{head}</th>' for head in ("text", "status", "error")
    )
    lines = "".join(
        f'<tr><th scope="row" class="llmx-key">{escape(fault.key)}</th>'
        f'<td class="llmx-text">{escape(cut(fault.text, 200))}</td><td>{escape(fault.status)}</td>'
        f'<td class="llmx-short">{escape(cut(fault.error, 300))}</td></tr>'
        for fault in faults
    )
    return f'<table class="llmx-rows"><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table>'
