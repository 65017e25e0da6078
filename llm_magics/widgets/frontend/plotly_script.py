"""Plotly's own script for the page: the plotly package's, as a compressed ES module. No network is asked."""

from __future__ import annotations

import gzip
import re
import threading
from functools import cache

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
