"""An estimate as HTML: what would be sent, what it would cost, and the first prompt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from llm_magics.widgets.html import escape
from llm_magics.widgets.output.style import output_block


def estimate_html(facts: Iterable[tuple[str, str]], prompt: Sequence[tuple[str, str]], form: str) -> str:
    """A dry run: a table of facts, then the first prompt, a box for each (role, text) of it.

    ``form`` says how the prompt is formatted where it is no conversation.
    """
    lines = "".join(
        f'<tr><th scope="row" class="llmx-key">{escape(name)}</th><td>{escape(value)}</td></tr>'
        for name, value in facts
    )
    head = '<p class="llmx-head"><b>Dry run</b> <span class="llmx-dim">nothing was sent</span></p>'
    table = f'<table class="llmx-rows"><tbody>{lines}</tbody></table>'
    boxes = "".join(
        (f'<p class="llmx-dim llmx-small">{escape(role)}</p>' if role else "") + f"<pre>{escape(text)}</pre>"
        for role, text in prompt
    )
    said = f"First prompt ({form})" if form else "First prompt"
    first = f"<details open><summary>{escape(said)}</summary>{boxes}</details>" if prompt else ""
    return output_block(head, table, first, name="dry run", kind="llmx-estimate")
