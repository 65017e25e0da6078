"""A background job under its cell: its line and a button that stops it, then what became of it."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any, Protocol

from llm_magics.core.errors import LLMError
from llm_magics.text.markdown_html import NO_MATH

EVERY = 0.4
"""Seconds between looks at a job under way."""


class Followed(Protocol):
    """What is needed of a job."""

    @property
    def progress(self) -> str:
        """How far it is, on one line."""

    def result(self, timeout: float) -> Any:
        """Its result; TimeoutError while it goes on."""


def follow(job: Followed, going: Callable[[str], object], ended: Callable[[Any, str | None], object]) -> None:
    """Tell ``going`` the job's progress until it ends, then ``ended`` its result or what went wrong.

    Both are called on a thread of their own: the cell, and every button, stay free meanwhile.
    """
    name = "llm_magics widget"
    threading.Thread(target=_watch, args=(job, going, ended), daemon=True, name=name).start()


def _watch(job: Followed, going: Callable[[str], object], ended: Callable[[Any, str | None], object]) -> None:
    going(job.progress)
    while True:
        try:
            result = job.result(timeout=EVERY)
        except TimeoutError:
            going(job.progress)
        except (LLMError, KeyboardInterrupt) as error:
            ended(None, getattr(error, "message", None) or str(error))
            return
        except Exception as error:  # noqa: BLE001 - nobody else would hear of it
            ended(None, f"{type(error).__name__}: {error}")
            return
        else:
            ended(result, None)
            return


_ids = itertools.count(1)


class Stoppable(Followed, Protocol):
    """What is needed of a job."""

    id: str

    def cancel(self) -> object:
        """Ask it to stop."""


class JobView:
    """A panel that follows the job until it ends, with a bar and a button that stops it."""

    def __init__(self, job: Stoppable) -> None:
        from llm_magics.widgets.frontend.panel import Panel

        self.job = job
        self.place = f"llm_magics-job-{next(_ids)}-{time.time_ns():x}"
        self.panel = Panel(
            Path(__file__).parent / "job.js",
            {"share": self._share},
            {"stop": self.stop},
            label=f"Job {job.id}",
        )

    def _share(self) -> float:
        """The share of the rows that are done."""
        meter = getattr(getattr(self.job, "run", None), "meter", None)
        return 0.0 if meter is None else round(float(meter.done / max(1, meter.total)), 3)

    def show(self) -> None:
        """Display it, and follow the job from now on."""
        from IPython.display import display

        view = {"version_major": 2, "version_minor": 0, "model_id": self.panel.widget.model_id}
        bundle = {"application/vnd.jupyter.widget-view+json": view}
        display({**bundle, "text/plain": repr(self.job)}, raw=True, display_id=self.place)
        follow(self.job, self._say, self._ended)

    def stop(self) -> None:
        """What the button does."""
        self.job.cancel()

    def _said(self, text: str) -> str:
        return f"job {self.job.id}: {text}"

    def _say(self, text: str) -> None:
        self.panel.say(self._said(text))
        self.panel.update()

    def _ended(self, _result: Any, wrong: str | None) -> None:
        """The last line takes the widget's place: a notebook that is opened later has no widgets."""
        from IPython.display import display

        text = self.job.progress if wrong is None else f"{self.job.progress}. {wrong}"
        said = escape(self._said(text))
        look = "font-size:12px;line-height:1.5;opacity:.78;padding:2px 4px"
        html = f'<div class="{NO_MATH}" role="status" style="{look}">{said}</div>'
        display(
            {"text/html": html, "text/plain": self._said(text)},
            raw=True,
            display_id=self.place,
            update=True,
        )


def show(job: Stoppable) -> None:
    """Display the job; its text stands beside the widget, for front ends and files without widgets."""
    JobView(job).show()
