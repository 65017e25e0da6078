"""A background job under its cell: how far it is, and a button that stops it."""

from __future__ import annotations

from html import escape
from typing import Any, Protocol

from llm_magics.widgets.following import Followed, follow


class Stoppable(Followed, Protocol):
    """What is needed of a job."""

    id: str

    def cancel(self) -> object:
        """Ask it to stop."""


class JobView:
    """One line that follows the job until it ends, and the button; ``box`` is the widget."""

    def __init__(self, job: Stoppable) -> None:
        import ipywidgets as w

        self.job = job
        self.line = w.HTML()
        self.button = w.Button(description="Stop", tooltip="What was answered is kept")
        self.button.layout.width = "6em"
        self.button.on_click(lambda _: self.stop())
        self.box = w.HBox([self.button, self.line])
        follow(job, self._say, self._ended)

    def stop(self) -> None:
        """What the button does."""
        self.button.disabled = True
        self.job.cancel()

    def _say(self, text: str) -> None:
        self.line.value = f'<div role="status">job {escape(self.job.id)}: {escape(text)}</div>'

    def _ended(self, _result: Any, wrong: str | None) -> None:
        self.button.layout.display = "none"
        self._say(self.job.progress if wrong is None else f"{self.job.progress}. {wrong}")


def show(job: Stoppable) -> None:
    """Display the job; its text stands beside the widget, for front ends and files without widgets."""
    from IPython.display import display

    bundle = dict(JobView(job).box._repr_mimebundle_())
    display({**bundle, "text/plain": repr(job)}, raw=True)
