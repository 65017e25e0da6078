"""A result as outputs of a cell: what every saved notebook keeps, then the widget, live with its kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llm_magics.widgets.html import live


def show(html: str, text: str, widget: Callable[[], Any] | None, without: str) -> None:
    """Display the summary, and under it what ``widget`` makes; None where there is none to show.

    Where widgets aren't installed, the reason and ``without``, what can be done all the same.
    """
    from IPython.display import display

    try:
        box = None if widget is None else widget()
    except ImportError as error:
        display({"text/html": html, "text/plain": text}, raw=True)
        print(f"No widget: {error}. {without}")
        return
    display({"text/html": html if box is None else live(html), "text/plain": text}, raw=True)
    if box is None:
        return
    # After the kernel is gone JupyterLab can't draw the widget; other readers take the text.
    view = {"version_major": 2, "version_minor": 0, "model_id": box.model_id}
    display({"application/vnd.jupyter.widget-view+json": view, "text/plain": ""}, raw=True)
