"""Style sheets of the exported page and of the static twin: the design tokens, then their own rules."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def style(name: str) -> str:
    """The tokens and the sheet ``name`` of this folder, without comments and line ends."""
    from llm_magics.widgets import frontend

    tokens = Path(str(frontend.__file__)).parent / "tokens.css"
    text = "\n".join(path.read_text(encoding="utf-8") for path in (tokens, Path(__file__).parent / name))
    while "/*" in text:
        before, _, rest = text.partition("/*")
        text = before + rest.partition("*/")[2]
    return "".join(
        line.strip() + " " if line.strip().endswith(",") else line.strip() for line in text.splitlines()
    )
