"""The results of a run in columns, so that a million of them take little more memory than their texts."""

from __future__ import annotations

import sys
from array import array
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from llm_magics.core.errors import redact
from llm_magics.core.types import CUT, NO_USAGE, STATUSES, Response, Result, Status

_NAMES: tuple[Status | None, ...] = (None, *STATUSES)
"""The status by its number; 0 is "no result yet"."""

_WITH_VALUES: tuple[Status, ...] = ("ok", "repaired", "defaulted")


WHOLE = 100
"""Errors that keep their traceback, which holds the request and everything around it."""


class Failure(NamedTuple):
    """The most frequent of ``reasons`` why rows failed: its text, its rows, and what helps against it."""

    text: str
    rows: int
    hint: str
    reasons: int


class ResultColumns:
    """``n`` results by their index; ``columns`` are the names of their values.

    ``values`` by column, ``texts`` the raw answers, ``finish`` the finish reasons, ``models`` that
    answered, ``notes`` shown once; None where there is no result yet.
    """

    def __init__(self, n: int, columns: Sequence[str]) -> None:
        self.values: dict[str, list[Any]] = {name: [None] * n for name in columns}
        self.texts: list[str | None] = [None] * n
        self.finish: list[str | None] = [None] * n
        self.models: dict[str, str] = {}
        self.notes: dict[str, None] = {}
        self._status = bytearray(n)
        self._errors: dict[int, BaseException] = {}
        self._tokens = (array("l", bytes(8 * n)), array("l", bytes(8 * n)))
        self._latency = array("f", bytes(4 * n))
        self._model: list[str | None] = [None] * n
        self._attempts = array("H", bytes(2 * n))

    def take(self, result: Result) -> None:
        """Add one result."""
        i = result.index
        for name, value in result.values.items():
            self.values[name][i] = value
        self._status[i] = _NAMES.index(result.status)
        self._attempts[i] = min(result.attempts, 65535)
        if result.error is not None:
            self._errors[i] = result.error
            if len(self._errors) > WHOLE:
                _lighten(result.error)
        if result.response is not None:
            self._take_response(i, result.response)
        if result.usage is not NO_USAGE:  # with what re-asking took, and lost answers
            self._tokens[0][i] = result.usage.input_tokens
            self._tokens[1][i] = result.usage.output_tokens

    def _take_response(self, i: int, response: Response) -> None:
        self.texts[i] = response.text
        self.finish[i] = sys.intern(response.finish_reason)
        self._tokens[0][i] = response.usage.input_tokens
        self._tokens[1][i] = response.usage.output_tokens
        self._latency[i] = response.latency
        if response.model:
            self._model[i] = self.models.setdefault(response.model, response.model)
        for note in response.notes:
            self.notes.setdefault(note)

    def status(self, i: int) -> Status | None:
        """The status of a work item, None where it has no result yet."""
        return _NAMES[self._status[i]]

    @property
    def statuses(self) -> list[Status | None]:
        """The status of each work item."""
        return [_NAMES[number] for number in self._status]

    @property
    def counts(self) -> dict[str, int]:
        """Work items by status; ``waiting`` are those without a result yet."""
        found = Counter(self._status)
        counts: dict[str, int] = {name: found[i] for i, name in enumerate(STATUSES, 1) if found[i]}
        return counts | ({"waiting": found[0]} if found[0] else {})

    @property
    def cut_note(self) -> str:
        """A sentence about answers that were used though the token limit cut them; empty for none."""
        used = {_NAMES.index(name) for name in _WITH_VALUES}
        ends = zip(self._status, self.finish, strict=True)
        n = sum(finish in CUT and number in used for number, finish in ends)
        which = "1 answer ends" if n == 1 else f"{n:,} answers end"
        return f"{which} at the token limit; a higher one: -p max_tokens=1000" if n else ""

    def places(self, *statuses: Status | None) -> list[int]:
        """The work items with one of these statuses, in order."""
        wanted = {_NAMES.index(name) for name in statuses}
        return [i for i, number in enumerate(self._status) if number in wanted]

    def errors_of(self, status: Status) -> dict[int, BaseException]:
        """The errors of the work items with this status."""
        errors = list(self._errors.items())  # the loop thread may be adding some
        return {i: error for i, error in errors if self.status(i) == status}

    def frequent_failure(self) -> Failure | None:
        """The most frequent reason of failure; None where no row failed."""
        errors = self.errors_of("failed")
        texts = Counter(map(error_text, errors.values()))
        if not texts:
            return None
        text, rows = texts.most_common(1)[0]
        hints = (getattr(error, "hint", "") for error in errors.values() if error_text(error) == text)
        hint = next((hint.splitlines()[0] for hint in hints if hint), "")
        return Failure(text, rows, hint, len(texts))

    def error_text(self, i: int) -> str | None:
        """The error of a work item as text, None where it did not fail."""
        error = self._errors.get(i)
        return None if error is None else error_text(error)

    def told(self, places: Sequence[int]) -> dict[str, list[Any]]:
        """All that is known of these work items, by column."""
        return {
            "model": [self._model[i] for i in places],
            "raw_output": [self.texts[i] for i in places],
            "parsed_output": [self._parsed(i) for i in places],
            "input_tokens": [self._tokens[0][i] for i in places],
            "output_tokens": [self._tokens[1][i] for i in places],
            "latency": [self._latency[i] for i in places],
            "finish_reason": [self.finish[i] for i in places],
            "status": [self.status(i) for i in places],
            "error": [self.error_text(i) for i in places],
            "attempts": [self._attempts[i] for i in places],
        }

    def _parsed(self, i: int) -> dict[str, Any] | None:
        if self.status(i) not in _WITH_VALUES:
            return None
        return {name: values[i] for name, values in self.values.items()}


def error_text(error: BaseException) -> str:
    """An error's own text; of an exception that is not ours, without any key it may contain."""
    return getattr(error, "message", None) or redact(repr(error))


def _lighten(error: BaseException) -> None:
    """Remove the tracebacks of an error and of its causes."""
    each: BaseException | None = error
    for _ in range(10):
        if each is None:
            return
        each.__traceback__ = None
        each = each.__cause__ or each.__context__
