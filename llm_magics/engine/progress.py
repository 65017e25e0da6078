"""Progress of a run: one counter, one status line, one display, which ends as the footer."""

from __future__ import annotations

import html
import itertools
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from llm_magics.core.types import NO_USAGE, Result, Usage
from llm_magics.text.markdown_html import NO_MATH, markdown_bundle

INTERVAL = 0.2
"""Seconds between updates of a display."""

_ids = itertools.count(1)


class Meter:
    """Counts the results of a run of ``total`` work items, ``samples`` a row; readable from any thread.

    ``cost`` is in US dollars, of what this run paid for; ``unpriced`` is True where a price is unknown.
    ``remarks`` are further parts of the line, such as ``bias removed (32 rows)``.
    """

    def __init__(
        self,
        total: int,
        task: str = "",
        backend: str = "",
        *,
        samples: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total = total
        self.samples = samples
        self.task = task
        self.backend = backend
        self.done = self.cached = self.failed = self.skipped = self.repaired = self.defaulted = 0
        self.input_tokens = self.output_tokens = self.cached_input_tokens = 0
        self.cost = 0.0
        self.unpriced = False
        self.estimated = False
        self.remarks: list[str] = []
        self._clock = clock
        self._started = clock()
        self._stopped: float | None = None
        self._marks: deque[tuple[float, int, int]] = deque([(self._started, 0, 0)], maxlen=100)

    def add(self, result: Result) -> None:
        """Count one result."""
        self.done += 1
        if self.done == self.total:
            self.stop()
        status = result.status
        if status != "ok":
            setattr(self, status, getattr(self, status) + 1)
        if result.response is not None and result.response.cached:
            self.cached += 1
        if result.usage is not NO_USAGE:
            self._pay(result.usage)

    def _pay(self, usage: Usage) -> None:
        self.input_tokens += usage.input_tokens
        self.output_tokens += usage.output_tokens
        self.cached_input_tokens += usage.cached_input_tokens
        self.estimated = self.estimated or usage.estimated
        if usage.cost is not None:
            self.cost += usage.cost
        elif usage.input_tokens or usage.output_tokens:
            self.unpriced = True

    @property
    def usage(self) -> Usage:
        """What this run paid for; the cost is None where a price is unknown."""
        cost = None if self.unpriced else self.cost
        return Usage(self.input_tokens, self.output_tokens, self.cached_input_tokens, cost, self.estimated)

    @property
    def elapsed(self) -> float:
        """Seconds from the start to now, or to the end."""
        return (self._clock() if self._stopped is None else self._stopped) - self._started

    def stop(self) -> None:
        """End the clock: the run is over, complete or not."""
        if self._stopped is None:
            self._stopped = self._clock()

    @property
    def rate(self) -> float:
        """Rows a second over the last hundred marks."""
        (then, before, _), now = self._marks[0], self._clock()
        return (self.done - before) / (now - then) if now > then else 0.0

    @property
    def eta(self) -> float | None:
        """Seconds left, None while they can't be estimated."""
        # Stored answers come at once and often first: what is left is taken to be asked for.
        (then, _, before), now = self._marks[0], self._clock()
        asked = self.done - self.cached - before
        return (self.total - self.done) * (now - then) / asked if asked > 0 and now > then else None

    def mark(self) -> None:
        """Record the progress now; the rate is computed from the last hundred records."""
        if self._stopped is None:
            self._marks.append((self._clock(), self.done, self.done - self.cached))

    def line(self) -> str:
        """The progress as one line of plain text."""
        self.mark()
        rows = f"{self.task}: {self.rows}" if self.task else self.rows
        parts = [rows, *self._faults(), *self._spent(), seconds(self.elapsed)]
        left = self.eta if self._stopped is None and self.done else None
        if left is not None:
            parts.append(f"about {seconds(left)} left")
        parts += self.remarks
        if self.backend:
            parts.append(self.backend)
        return ", ".join(parts)

    @property
    def rows(self) -> str:
        """The rows: ``20/100 rows``, at the end ``100 rows``; ``100 rows x 2`` for two samples each."""
        number = self.total // self.samples
        rows = f"{number:,} row" if number == 1 else f"{number:,} rows"
        if self.samples > 1:
            rows += f" x {self.samples}"
        if self.done == self.total:
            return rows
        return f"{self.done:,}/{rows}" if self.samples == 1 else f"{self.done:,}/{self.total:,} of {rows}"

    def _faults(self) -> list[str]:
        names = ("cached", "failed", "repaired", "defaulted", "skipped")
        return [f"{getattr(self, name):,} {name}" for name in names if getattr(self, name)]

    def _spent(self) -> list[str]:
        if not (self.input_tokens or self.output_tokens):
            return []
        about = "~" if self.estimated else ""
        tokens = f"{about}{count(self.input_tokens)} in / {about}{count(self.output_tokens)} out tokens"
        if self.unpriced and not self.cost:
            return [tokens, "price unknown"]
        money = dollars(self.cost) + (" and some of unknown price" if self.unpriced else "")
        return [tokens, money] if self.cost or self.unpriced else [tokens]


def count(n: float) -> str:
    """A number with three digits: 812, 41k, 6.2M."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if n >= 0.9995 * size:
            return f"{n / size:.3g}{unit}"
    return f"{n:.0f}"


def dollars(cost: float) -> str:
    """An amount of money with enough digits for a small sum."""
    return f"${cost:.2f}" if cost >= 0.1 else f"${cost:.2g}" if cost >= 0.0001 else "<$0.0001"


def seconds(span: float) -> str:
    """A duration: 0.4 s, 18 s, 3 min, 1 h 20 min."""
    if span < 10:
        return f"{span:.1f} s"
    if span < 100:
        return f"{span:.0f} s"
    minutes = round(span / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class Display:
    """Shows the progress of a run.

    In a kernel it is one updating output, in a terminal one rewritten line, elsewhere only the end.

    With ``show`` False nothing is shown. In a kernel ``answer`` replaces the progress as soon as it
    returns text. Call ``tick``, ``leave`` and ``close`` on the thread that runs the cell.
    """

    def __init__(self, meter: Meter, *, show: bool = True, answer: Callable[[], str] = lambda: "") -> None:
        self.meter = meter
        self.answer = answer
        self.updates = 0
        self._drawn = 0.0
        self._began = time.monotonic()
        self._draw = _place() if show else None

    def tick(self) -> None:
        """Draw, at most five times a second, and not in the first moments of a run."""
        now = time.monotonic()
        if self._draw is None or now - max(self._drawn, self._began) < INTERVAL:
            return
        self._drawn = now
        self._show(self.meter.line(), self.meter.done / max(1, self.meter.total), self.answer())

    def leave(self) -> None:
        """Keep the partial answer on the screen."""
        if self._draw is not None:
            self._show(self.meter.line(), None, self.answer())
            self._draw = None

    def close(self, text: str | None = None) -> None:
        """Show ``text`` (several lines, perhaps) as the final state; None removes the display."""
        if self._draw is None or (text is None and not self.updates):
            return
        self._show(text or "", None)
        self._draw = None

    def _show(self, text: str, share: float | None, answer: str = "") -> None:
        """Draw; a stream that was closed must not stop a run that is paid for."""
        assert self._draw is not None
        self.updates += 1
        try:
            self._draw(text, share, answer)
        except (OSError, ValueError):
            self._draw = None


Draw = Callable[[str, float | None, str], None]
"""Draws a text with, while the run goes on, the share that is done or the answer so far."""


def _place() -> Draw:
    """Where to draw: the kernel's front end, the terminal, or a plain stream."""
    # Only a process that already runs IPython can be a kernel; a script needn't import it.
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None and getattr(shell, "kernel", None) is not None:
        return _kernel()
    return _terminal if sys.stderr.isatty() else _stream


def _kernel() -> Draw:
    from IPython.display import display

    name = f"llm_magics-{next(_ids)}-{time.time_ns():x}"
    shown = False

    def draw(text: str, share: float | None, answer: str) -> None:
        nonlocal shown
        made = markdown_bundle(answer) if answer else mime_bundle(text, share)
        display(made, raw=True, display_id=name, update=shown)
        shown = True

    return draw


def mime_bundle(text: str, share: float | None) -> Mapping[str, Any]:
    """The text as MIME types, with a bar while the run goes on; everything in it is escaped."""
    bar = "" if share is None else _bar(share)
    lines = "<br>".join(html.escape(line) for line in text.splitlines())
    status = f'<div class="{NO_MATH}" role="status" style="{_LINES}">{bar}{lines}</div>'
    return {"text/plain": text, "text/html": status if text else ""}


_LINES = "font-size:12px;line-height:1.5;opacity:.78;padding:2px 4px"
_TRACK = "height:4px;max-width:420px;margin:4px 0;border-radius:2px;background:rgba(128,128,128,.3)"


def _bar(share: float) -> str:
    """A bar that needs no style sheet; its fill stands out from a light page and from a dark one."""
    percent = f"{100 * max(0.0, min(1.0, share)):.1f}"
    fill = f'<div style="width:{percent}%;height:100%;border-radius:2px;background:#0066aa"></div>'
    said = 'role="progressbar" aria-label="rows done" aria-valuemin="0" aria-valuemax="100"'
    return f'<div {said} aria-valuenow="{percent}" style="{_TRACK}">{fill}</div>'


def _terminal(text: str, share: float | None, _answer: str) -> None:
    """Rewrite the last line of a terminal."""
    import shutil

    if share is not None:
        text = text[: shutil.get_terminal_size().columns - 1]
    sys.stderr.write(f"\r\x1b[K{text}" + ("\n" if share is None and text else ""))
    sys.stderr.flush()


def _stream(text: str, share: float | None, _answer: str) -> None:
    """Without a terminal, print the final state only."""
    if share is None and text:
        sys.stderr.write(text + "\n")
