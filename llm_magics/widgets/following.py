"""A job followed from a widget: its progress while it goes on, and how it ended."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

from llm_magics.core.errors import LLMError

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
