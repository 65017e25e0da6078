"""An error as a card: a title, what happened, what to type next. Nothing of it is said twice in Jupyter."""

from __future__ import annotations

from llm_magics.widgets.html import cut, escape
from llm_magics.widgets.output.sentences import sentence_html
from llm_magics.widgets.output.style import output_block

MOST = 4_000
"""Characters of a message that are shown; the plain text has all of it."""

SHORT = 90
"""Characters of a message that is its own title."""

_CARD = ".jp-OutputArea-child:has(> .jp-OutputArea-output .llmx-error)"
_PLAIN = ".jp-OutputArea-child:has([data-mime-type^='application/vnd.jupyter.']:not(.jp-RenderedHTMLCommon))"
HIDE = f"{_CARD} + {_PLAIN} {{ display: none }}"
"""Jupyter's own red text after the card says the same; it stays in the file, for whoever reads that."""


_OPENINGS = (
    "no",
    "a",
    "the",
    "this",
    "these",
    "that",
    "there",
    "which",
    "nothing",
    "labels",
    "several",
    "what",
)


def _as_title(message: str) -> str:
    """A message as a title: a capital, unless its first word may be a name, and no full stop."""
    first, _, rest = message.removesuffix(".").partition(" ")
    return f"{first.capitalize() if first in _OPENINGS else first} {rest}".strip()


def error_html(title: str, message: str, hint: str, facts: str, *, stopped: bool = False) -> str:
    """An error; ``facts`` is a line for whoever looks it up: its class, a status, a request's id.

    ``stopped`` is True for what the user did on purpose. Everything is escaped.
    """
    sign = "■" if stopped else "✕"
    tone = "llmx-warn" if stopped else "llmx-bad"
    told = f'<p class="llmx-keep">{sentence_html(cut(message, MOST))}</p>' if message else ""
    name = escape(title)
    if not stopped and message and len(message) <= SHORT and "\n" not in message:
        name, told = sentence_html(_as_title(message)), ""
    head = (
        f'<p class="llmx-head"><b><span class="llmx-state {tone}"><i aria-hidden="true">{sign}</i></span>'
        f"{name}</b></p>"
    )
    steps = "".join(f"<p>{sentence_html(line.strip())}</p>" for line in hint.splitlines() if line.strip())
    foot = f'<p class="llmx-foot llmx-dim llmx-small">{escape(facts)}</p>' if facts else ""
    kind = "llmx-error llmx-stopped" if stopped else "llmx-error"
    return output_block(head, told, steps, foot, name=escape(title), kind=kind, more=HIDE)
