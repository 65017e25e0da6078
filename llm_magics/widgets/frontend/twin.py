"""The static HTML beside a live panel: hidden while the panel lives, shown where there is no kernel."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from llm_magics.widgets.html import block, line

LIVE = "llmx-live"
"""A class of every live widget of ours, by which the twin's style knows it."""

_RULES = """
@media screen {{ {twin}:has(+ .jp-OutputArea-child .{live}) {{ display: none }} }}
@media print {{ {twin} + .jp-OutputArea-child {{ display: none }} }}
{twin} + .jp-OutputArea-child:not(:has(.{live})) {{ display: none }}
.cell-output-ipywidget-background:has(.{live}) {{ background: transparent !important }}
"""
"""Of two neighbouring outputs one is seen. The third rule hides what stands for a widget without a kernel:
"Error displaying widget: model not found". Other front ends than JupyterLab and Notebook leave the twin's
hiding to the panel's script. The last rule takes the white ground away that VS Code's Jupyter extension
puts behind every widget, in a dark theme a white frame around ours."""


def twin(html: str, name: str) -> str:
    """Static HTML that a live widget of this ``name``, its model id, takes the place of."""
    said = block(line("The live view needs its kernel: run the cell again.", dim=True))
    place = f'.jp-OutputArea-child:has(> .jp-OutputArea-output [data-llmx-twin="{name}"])'
    rules = _RULES.format(twin=place, live=LIVE)
    return f'<div data-llmx-twin="{name}">{html}{said}</div><style>{rules}</style>'


EVERY = 1.5
"""Seconds between two updates of a twin whose panel is being worked in."""

Static = Callable[[], tuple[str, str]]
"""Makes the static HTML, and the same as plain text."""


class Twin:
    """The displayed twin of a live panel, which follows what is done in the panel: the file keeps it."""

    def __init__(self, static: Static, name: str) -> None:
        self.static, self.name = static, name
        self._lock = threading.Lock()
        self._waiting = False
        self._shown: dict[str, str] = {}

    def show(self) -> None:
        """Display it where the cell is."""
        self._shown = self._bundle()
        self._display(self._shown, update=False)

    def refresh(self) -> None:
        """Something changed: show it soon, and what changes until then with it."""
        with self._lock:
            if self._waiting:
                return
            self._waiting = True
        timer = threading.Timer(EVERY, self._renew)
        timer.daemon, timer.name = True, "llm_magics twin"
        timer.start()

    def _renew(self) -> None:
        self._waiting = False  # first of all: what changes meanwhile is shown by the next
        for _ in range(3):
            try:
                made = self._bundle()
                break
            except Exception:  # noqa: BLE001 - read while it was being changed
                time.sleep(EVERY / 5)
        else:
            return
        if made != self._shown:
            self._shown = made
            self._display(made, update=True)

    def _bundle(self) -> dict[str, str]:
        html, text = self.static()
        return {"text/html": twin(html, self.name), "text/plain": text}

    def _display(self, bundle: dict[str, str], *, update: bool) -> None:
        from IPython.core.getipython import get_ipython
        from IPython.display import display

        if update and getattr(get_ipython(), "kernel", None) is None:
            return  # a terminal would print it again
        display(bundle, raw=True, display_id=f"llm_magics-twin-{self.name}", update=update)


def display_with_widget(static: Static, widget: Callable[[], Any] | None, without: str) -> Twin | None:
    """Display static HTML, and as an output of its own what ``widget`` makes, unless ``widget`` is None.

    The HTML is what a saved, exported or printed notebook shows; live, the widget alone is seen. Returned is
    the twin, whose ``refresh`` has to be called when it should be another; None without a widget. Where
    widgets aren't installed, the reason and ``without``, what can be done all the same, are printed.
    """
    from IPython.display import display

    missing = ""
    try:
        box = None if widget is None else widget()
    except ImportError as error:
        box, missing = None, f"No widget: {error}. {without}"
    if box is None:
        html, text = static()
        display({"text/html": html, "text/plain": text}, raw=True)
        if missing:
            print(missing)
        return None
    box.add_class(LIVE)
    made = Twin(static, box.model_id)
    made.show()
    view = {"version_major": 2, "version_minor": 0, "model_id": box.model_id}
    display({"application/vnd.jupyter.widget-view+json": view, "text/plain": ""}, raw=True)
    return made
