"""A run and an estimate as HTML: what it was or would be, and what else can be asked of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

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


def dry_run_block(*parts: str) -> str:
    """The parts of an estimate as one piece, under the words that nothing was sent."""
    head = '<p class="llmx-head"><b>Dry run</b> <span class="llmx-dim">nothing was sent</span></p>'
    return output_block(head, *parts, name="dry run", kind="llmx-estimate")


def estimate_html(
    facts: Iterable[tuple[str, str]], notes: Iterable[str], prompt: Sequence[tuple[str, str]], form: str
) -> str:
    """A dry run: a table of facts, sentences, then the first prompt, a box for each (role, text) of it.

    ``form`` says how the prompt is formatted where it is no conversation.
    """
    lines = "".join(
        f'<tr><th scope="row" class="llmx-key">{escape(name)}</th><td>{escape(value)}</td></tr>'
        for name, value in facts
    )
    table = f'<table class="llmx-rows"><tbody>{lines}</tbody></table>'
    boxes = "".join(
        (f'<p class="llmx-dim llmx-small">{escape(role)}</p>' if role else "") + f"<pre>{escape(text)}</pre>"
        for role, text in prompt
    )
    said = f"First prompt ({form})" if form else "First prompt"
    first = f"<details open><summary>{escape(said)}</summary>{boxes}</details>" if prompt else ""
    return dry_run_block(table, *map(_line, notes), first)
