"""The static HTML beside a live panel: hidden while the panel lives, shown where there is no kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llm_magics.widgets.html import block, line

LIVE = "llmx-live"
"""A class of every live widget of ours, by which the twin's style knows it."""

_RULES = """
@media screen {{ {twin}:has(+ .jp-OutputArea-child .{live}) {{ display: none }} }}
@media print {{ {twin} + .jp-OutputArea-child {{ display: none }} }}
{twin} + .jp-OutputArea-child:not(:has(.{live})) {{ display: none }}
"""
"""Of two neighbouring outputs one is seen. The last rule hides what stands for a widget without a kernel:
"Error displaying widget: model not found". Other front ends than JupyterLab and Notebook leave the twin's
hiding to the panel's script."""


def twin(html: str, name: str) -> str:
    """Static HTML that a live widget of this ``name``, its model id, takes the place of."""
    said = block(line("The live view needs its kernel: run the cell again.", dim=True))
    place = f'.jp-OutputArea-child:has(> .jp-OutputArea-output [data-llmx-twin="{name}"])'
    rules = _RULES.format(twin=place, live=LIVE)
    return f'<div data-llmx-twin="{name}">{html}{said}</div><style>{rules}</style>'


def display_with_widget(html: str, text: str, widget: Callable[[], Any] | None, without: str) -> None:
    """Display static HTML, and as an output of its own what ``widget`` makes, unless ``widget`` is None.

    The HTML is what a saved, exported or printed notebook shows; live, the widget alone is seen. Where
    widgets aren't installed, the reason and ``without``, what can be done all the same, are printed.
    """
    from IPython.display import display

    try:
        box = None if widget is None else widget()
    except ImportError as error:
        display({"text/html": html, "text/plain": text}, raw=True)
        print(f"No widget: {error}. {without}")
        return
    if box is None:
        display({"text/html": html, "text/plain": text}, raw=True)
        return
    box.add_class(LIVE)
    display({"text/html": twin(html, box.model_id), "text/plain": text}, raw=True)
    view = {"version_major": 2, "version_minor": 0, "model_id": box.model_id}
    display({"application/vnd.jupyter.widget-view+json": view, "text/plain": ""}, raw=True)
