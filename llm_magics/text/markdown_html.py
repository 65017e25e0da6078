"""Markdown from a model as HTML that fetches nothing.

markdown-it-py parses it here, so that what a viewer makes of the Markdown doesn't matter. HTML in it is
text. An image, inline or by reference, becomes its alternative text and its address; a link stays a link
that a person must click. Nothing but formulas is given to MathJax, and no formula with a macro that takes
style sheets, addresses or attributes. Code fences have no language class, because Mermaid's diagrams load
images.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from typing import Any

NO_MATH = "tex2jax_ignore mathjax_ignore"
"""Classes of HTML in which MathJax (versions 2 and 3) looks for no formulas: a text's "$" is a dollar."""

_MATH = "tex2jax_process mathjax_process"
_FETCHING_MACRO = re.compile(
    r"\\\s*(?:style|require|href|url|class|cssId|data|bbox|mmlToken|includegraphics|html\w*|unicode|texttip"
    r"|def|gdef|edef|let|newcommand|renewcommand|newenvironment|renewenvironment|csname)(?![A-Za-z])"
)
"""Macros of MathJax that put style sheets, addresses or attributes on the page, or give these a new name."""


def markdown_html(text: str) -> str:
    """Return Markdown as HTML without anything that a browser loads by itself."""
    return f'<div class="llmx-markdown {NO_MATH}">\n{_parser().render(text)}</div>'


def markdown_bundle(text: str) -> dict[str, str]:
    """Return Markdown as MIME types for a cell's output: as HTML that fetches nothing, and as it is."""
    return {"text/html": markdown_html(text), "text/plain": text}


_DOLLARS = {"allow_digits": False, "allow_space": False, "allow_labels": False, "double_inline": True}
"""Options of the plugin for formulas between dollar signs: "$5 and $6" is none."""


@cache
def _parser() -> Any:
    from markdown_it import MarkdownIt
    from mdit_py_plugins.amsmath import amsmath_plugin
    from mdit_py_plugins.dollarmath import dollarmath_plugin
    from mdit_py_plugins.texmath import texmath_plugin

    parser = MarkdownIt("commonmark", {"html": False, "linkify": False, "langPrefix": ""})
    parser.enable(["table", "strikethrough"])
    parser.use(dollarmath_plugin, **_DOLLARS)
    parser.use(texmath_plugin, delimiters="brackets")
    parser.use(amsmath_plugin)
    parser.add_render_rule("image", _image)
    parser.add_render_rule("link_open", _link)
    parser.add_render_rule("fence", _fence)
    for name in ("math_inline", "math_single"):
        parser.add_render_rule(name, lambda _, tokens, i, *__: _formula(tokens[i].content, "\\(", "\\)"))
    for name in ("math_inline_double", "math_block", "math_block_label", "math_block_eqno"):
        parser.add_render_rule(name, lambda _, tokens, i, *__: _formula(tokens[i].content, "\\[", "\\]"))
    parser.add_render_rule("amsmath", lambda _, tokens, i, *__: _formula(tokens[i].content, "", ""))
    return parser


def _image(renderer: Any, tokens: Sequence[Any], i: int, options: Any, env: Mapping[str, Any]) -> str:
    """An image as its alternative text and its address."""
    token = tokens[i]
    alternative = renderer.renderInlineAsText(token.children or [], options, env).strip() or "image"
    return escape(f"{alternative} ({token.attrs.get('src', '')})")


def _link(renderer: Any, tokens: Sequence[Any], i: int, options: Any, env: Mapping[str, Any]) -> str:
    """The opening tag of a link, which a click opens in a page of its own that doesn't learn of this one."""
    tokens[i].attrSet("target", "_blank")
    tokens[i].attrSet("rel", "noopener noreferrer nofollow")
    return str(renderer.renderToken(tokens, i, options, env))


def _fence(renderer: Any, tokens: Sequence[Any], i: int, options: Any, env: Mapping[str, Any]) -> str:
    return f"<pre><code>{escape(tokens[i].content)}</code></pre>\n"


def _formula(source: str, before: str, behind: str) -> str:
    """A formula for MathJax; as text where it might load something."""
    whole = escape(f"{before}{source}{behind}")
    if _FETCHING_MACRO.search(source):
        return f"<code>{whole}</code>"
    return f'<span class="{_MATH}">{whole}</span>'
