"""Finding out, from a host's first answers, in which dialect it applies response formats."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Protocol, TypeAlias

from llm_magics.backends.pricing import total_usage
from llm_magics.backends.response_formats import ignores
from llm_magics.core.errors import LLMError
from llm_magics.core.types import OneOf, Response, ResponseFormat, Text

FIRST_ANSWERS = 5
"""After this many usable answers a host is taken as one that applies formats, or whose model needs none."""

JSON_OBJECT = "json_object"
"""What hosts are asked for after they refused a schema; it binds them to no schema."""

Send: TypeAlias = Callable[[], Awaitable[tuple[Response, str]]]
"""Sends the request in the dialect of the moment: the response, and the dialect it was sent in."""


class Dialects(Protocol):
    """The dialects of one host, best first."""

    def dialect(self, form: ResponseFormat) -> str:
        """The name of the dialect in use for a format; empty where there is no other one to try."""

    def move_on(self, form: ResponseFormat) -> bool:
        """Use the next dialect from now on; False where none is left."""

    def settle(self, dialect: str) -> None:
        """Use this dialect from now on, whatever else was tried."""


class FormatProbe:
    """Asks again in the next dialect while the first answers show that the host ignores the format.

    One request finds the dialect, and the others that were on their way wait for it. Where no dialect does
    better, the first one stays. The usage of the answers that are dropped is counted with the one that is
    returned.
    """

    def __init__(self, name: str, dialects: Dialects) -> None:
        self.name = name
        self.dialects = dialects
        self.settled = False
        self._usable = 0
        self._applied: set[str] = set()
        self._busy = asyncio.Lock()

    async def ask(self, form: ResponseFormat, send: Send) -> Response:
        """The response in the host's dialect; raises what ``send`` raises."""
        if self.settled or isinstance(form, Text):
            return (await send())[0]
        if self._busy.locked():
            async with self._busy:
                pass
        response, dialect = await send()
        if not dialect or not ignores(form, response.text, response.finish_reason):
            self._count(form, response, dialect)
            return response
        async with self._busy:
            if self.dialects.dialect(form) == dialect:
                return response if self.settled else await self._find(form, response, dialect, send)
        return _together([response, (await send())[0]])

    def _count(self, form: ResponseFormat, response: Response, dialect: str) -> None:
        """Count an answer that shows nothing bad; a few of them, or one that proves it, settle the matter."""
        if not dialect or not response.text.strip():
            return
        # The prompts for labels ask for the bare name: only a host that applies the format sends JSON.
        if isinstance(form, OneOf) and isinstance(response.parsed, str | list):
            self._applied.add(dialect)
        self._usable += 1
        if not self._busy.locked():
            self.settled = dialect in self._applied or self._usable >= FIRST_ANSWERS

    async def _find(self, form: ResponseFormat, first: Response, ignored: str, send: Send) -> Response:
        """Try one dialect after another. An error leaves the last answer, and the search to the next row."""
        answers = [first]
        while ignored not in self._applied and self.dialects.move_on(form):
            try:
                response, dialect = await send()
            except LLMError:
                return _together(answers)
            answers.append(response)
            fits = response.text.strip() and not ignores(form, response.text, response.finish_reason)
            if fits and ignored not in self._applied:
                self._settle(dialect or ignored)
                return _together(answers, self._told(ignored, dialect))
        self._settle(ignored)
        note = "" if ignored in self._applied else self._told(ignored, "")
        return _together([*answers[1:], first], note)

    def _settle(self, dialect: str) -> None:
        self.settled = True
        self.dialects.settle(dialect)

    def _told(self, ignored: str, dialect: str) -> str:
        """The note about what was found out."""
        why = "its first answers don't fit" if ignored == JSON_OBJECT else f"the host ignores {ignored}"
        now = f"answers are asked for by {dialect}" if dialect else "it applies no other format either"
        return f"{self.name}: {why}; {now}, and checked here."


def _together(answers: Sequence[Response], note: str = "") -> Response:
    """The last answer with the usage, the time and the notes of all of them."""
    notes = [each for answer in answers for each in answer.notes] + ([note] if note else [])
    return replace(
        answers[-1],
        usage=total_usage([answer.usage for answer in answers]),
        latency=sum(answer.latency for answer in answers),
        notes=tuple(dict.fromkeys(notes)),
    )
