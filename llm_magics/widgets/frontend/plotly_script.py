"""Plotly's own script for the page: the plotly package's, as a compressed ES module. No network is asked."""

from __future__ import annotations

import gzip
import re
import threading
import time
from functools import cache
from pathlib import Path
from typing import Any

from llm_magics.widgets.frontend.bundle import bundle

_HEAD = re.compile(rb"\(\s*function\s*\(root, factory\) \{.*?this, \(\) => \{", re.DOTALL)
_TAIL = re.compile(rb"window\.Plotly = Plotly;\s*return Plotly;\s*\}\)\);\s*$")
_LOCK = threading.Lock()


def plotly_script() -> bytes:
    """The script as a module with Plotly as its default export, gzipped: 1.5 MB."""
    with _LOCK:
        return _compressed()


def prepare() -> None:
    """Compress the script beside what the kernel does now: a page is about to ask for it."""
    if not _compressed.cache_info().currsize:
        threading.Thread(target=plotly_script, daemon=True, name="llm_magics plotly").start()


_SETTLED = 0.5
"""Seconds after which a page listens to a new widget. What is sent earlier is lost."""


@cache
def send_ahead() -> None:
    """Send the script to the notebook's page while the cell still computes, once a kernel.

    A page that does not take it, since it makes no widget before one is displayed, asks for it later as ever.
    Without a kernel or without widgets nothing is sent.
    """
    from IPython.core.getipython import get_ipython

    if getattr(get_ipython(), "kernel", None) is None:
        return
    try:
        import anywidget
    except ImportError:
        return
    receiver = anywidget.AnyWidget(_esm=bundle(Path(__file__).parent / "ahead.js"))
    threading.Thread(target=_send, args=(receiver,), daemon=True, name="llm_magics plotly").start()


def _send(receiver: Any) -> None:
    begun = time.monotonic()
    script = plotly_script()
    time.sleep(max(0.0, begun + _SETTLED - time.monotonic()))
    receiver.send({}, [script])  # a message: a state would be saved in the notebook
    receiver.close()


@cache
def _compressed() -> bytes:
    from importlib.resources import files

    script = files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    return gzip.compress(as_module(script), 6, mtime=0)


def as_module(script: bytes) -> bytes:
    """The script without the function around it that looks for a module system.

    Browsers read the inside of such a function twice: without it Chromium has the script ready in two thirds
    of the time. A script in another wrapping keeps it, and is given the module system it looks for.
    """
    head, tail = _HEAD.search(script[:2000]), _TAIL.search(script[-200:])
    if head and tail:
        inside = script[head.end() : len(script) - len(script[-200:]) + tail.start()]
        return script[: head.start()] + inside + b"\nexport default Plotly;\n"
    before = b"const module = { exports: {} }, exports = module.exports, define = undefined;\n"
    return before + script + b"\nexport default module.exports;\n"
