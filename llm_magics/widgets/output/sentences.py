"""Sentences with what can be typed in them: commands, flags and names are set as code."""

from __future__ import annotations

import re

from llm_magics.widgets.html import escape

LONG = 30
"""Characters from which on a name may be broken into lines."""

_END = (
    r"(?=\s{2,}|\s*$|[;)]|:\s|(?<!\.)\.(?:\s|$)"
    r"|,? (?:then|or|and|lists|shows|names|takes|has|is|goes|works|serves|anyway|where|before)\b)"
)
_CODE = re.compile(
    rf"(?P<do>(?<![\w%])%{{1,2}}[a-z]\w*[^\n;]*?{_END}"
    r"|(?<!\w)(?:pip install|python -m|gcloud|chmod|git lfs|ollama (?:serve|pull)|huggingface-cli)\b"
    rf"[^\n;]*?{_END})"
    r"|(?P<name>(?<![\w(])'[^'\n]{1,200}'(?!\w)"
    r"|(?<![\w-])--?[a-zA-Z][\w-]*(?: (?:[A-Z][A-Z_|]+|\d[\d.]*|env:\w+)\b)?"
    r"|\bllm\.[a-z][\w.]*(?:\([^()\n]*\))?)",
    re.MULTILINE,
)


def sentence_html(text: str) -> str:
    """The text, escaped; commands are code that one click selects, flags and quoted names are code."""
    parts, end = [], 0
    for found in _CODE.finditer(text):
        parts.append(escape(text[end : found.start()]))
        command = found["do"]
        if command is not None:
            parts.append(f'<code class="llmx-do">{escape(command)}</code>')
        else:
            name = found["name"].strip("'")
            long = ' class="llmx-long"' if len(name) > LONG else ""
            parts.append(f"<code{long}>{escape(name)}</code>")
        end = found.end()
    return "".join([*parts, escape(text[end:])])
