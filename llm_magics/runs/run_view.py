"""The last run as HTML: what it was, what to know of it, and what else can be asked of it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from llm_magics.widgets.html import escape
from llm_magics.widgets.output.sentences import sentence_html
from llm_magics.widgets.output.style import output_block

PARTS = (
    "df",
    "outputs",
    "failures",
    "usage",
    "prompts()",
    "manifest()",
    "methods()",
    "evaluation",
    "plot()",
)


def run_html(name: str, report: Sequence[str]) -> str:
    """A run: the lines of its report, the last of them first, and its parts as code."""
    head = f'<p class="llmx-head"><b>Run of {escape(name)}</b></p>'
    said = "".join(map(_line, [*report[-1:], *report[:-1]]))
    parts = " ".join(f'<code class="llmx-do">llm.last.{part}</code>' for part in PARTS)
    foot = f'<p class="llmx-foot llmx-small">{parts}</p>'
    return output_block(head, said, foot, name="the last run", kind="llmx-run")


def _line(text: str) -> str:
    kind = ' class="llmx-fault"' if re.match(r"[\d,]+ failed: ", text) else ""
    return f"<p{kind}>{sentence_html(text.strip())}</p>"
