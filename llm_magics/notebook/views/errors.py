"""An error of ours in a notebook: a card beside the plain text, which Jupyter then leaves out."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from llm_magics.core.errors import Interrupted, LLMError, show_errors_with

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def install(shell: InteractiveShell) -> None:
    """Show errors as cards where the kernel's front end is Jupyter; elsewhere their text is all there is."""
    if getattr(shell, "kernel", None) is not None and is_jupyter():
        show_errors_with(display_error)


def uninstall() -> None:
    """Show the text alone."""
    show_errors_with(None)


def is_jupyter() -> bool:
    """Whether the front end is JupyterLab or Notebook, as far as a kernel knows.

    Colab and VS Code would show card and text one below the other.
    """
    return "google.colab" not in sys.modules and not {"VSCODE_PID", "VSCODE_CWD"} & set(os.environ)


_last: list[Any] = []
"""The error shown last, and the number of its cell."""


def display_error(error: LLMError | Interrupted) -> None:
    """Display the card, once a cell; its plain text is empty, since the error's own text follows.

    IPython asks for an error's text twice: to show it, and for its history.
    """
    from IPython.core.getipython import get_ipython
    from IPython.display import display

    cell = getattr(get_ipython(), "execution_count", 0)
    if _last and _last[0] is error and _last[1] == cell:
        return
    _last[:] = [error, cell]
    display({"text/html": html_of(error), "text/plain": ""}, raw=True)


def html_of(error: LLMError | Interrupted) -> str:
    """The card: title, what happened, what to type next, and a line for whoever looks the error up."""
    from llm_magics.widgets.output.errors import error_html

    stopped = isinstance(error, Interrupted)
    hint = getattr(error, "hint", "")
    facts = "" if stopped else " · ".join(_facts(error))
    return error_html(error.title, error.message, hint, facts, stopped=stopped)


def _facts(error: Any) -> list[str]:
    status, request = getattr(error, "status", None), getattr(error, "request_id", "")
    facts = [type(error).__name__]
    facts += [f"HTTP {status}"] if status else []
    return [*facts, f"request {request}"] if request else facts
