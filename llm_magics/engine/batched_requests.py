"""Several rows in one request (``--rows-per-request``): batched, answered, and taken apart again.

The rows are sent as one JSON object, id -> text, so that no text can pass for another row, and come back
as one, id -> answer. A missing, repeated or unknown id answers no row; such rows are asked alone. (Batch
prompting: Cheng, Kasai, Yu 2023, arXiv 2301.08721.)
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any

from llm_magics.backends.pricing import split_usage
from llm_magics.backends.pricing import total_usage as summed
from llm_magics.core.errors import BadRequest
from llm_magics.core.types import (
    CUT,
    NO_USAGE,
    Message,
    OneOf,
    Request,
    Response,
    ResponseFormat,
    Schema,
    Usage,
)
from llm_magics.engine.retries import OnOutcomes, Outcome, Reply, Retrier
from llm_magics.text.json_parsing import parse_json, strip_thinking_and_fences

RULE = (
    "Several cases come at once, as one JSON object: id -> case. Each stands alone: answer it as said above, "
    "as if there were no other. The answer is one JSON object with exactly the same ids, id -> answer to "
    "that case, and nothing else."
)
"""The end of the instructions of a batched request."""

MANY_NAMES = 500
"""With more label names than this the schema has no enum, as in a request of one row."""

OVERHEAD = 8
"""Output tokens of an id and its punctuation, estimated on the high side."""

_ENTRY = re.compile(r'\s*"([^"\\]{1,20})"\s*:\s*')
_AFTER = re.compile(r"\s*[,}]")


@dataclass(frozen=True)
class BatchedRequest:
    """Requests that differ in their last message only, in the order of their ids 1, 2, 3, ..."""

    requests: tuple[Request, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """The id of each request."""
        return tuple(str(number) for number in range(1, len(self.requests) + 1))

    @cached_property
    def request(self) -> Request:
        """All of them as one request.

        Instructions and examples come first and are the same in every batch.
        """
        first = self.requests[0]
        cases = _json({mark: r.messages[-1].content for mark, r in zip(self.ids, self.requests, strict=True)})
        return replace(
            first,
            messages=(*_head(first.messages[:-1]), Message("user", cases)),
            response_format=_answers(self.ids, first.response_format),
            parameters=_parameters(first.parameters, len(self.requests)),
            subject="",
            rows_per_request=len(self.requests),
        )

    def read(self, response: Response) -> list[Response | None]:
        """Each row's own response, None for a row without one.

        Usage, model and request id are the whole's.
        """
        found = answers_by_id(response.text)
        if not found and isinstance(response.parsed, Mapping):
            found = [(str(mark), value) for mark, value in response.parsed.items()]
        often = Counter(mark for mark, _ in found)
        known = {mark: value for mark, value in found if often[mark] == 1 and value is not None}
        form = self.requests[0].response_format
        return [_own(response, form, known[mark]) if mark in known else None for mark in self.ids]


def batch_requests(requests: Sequence[Request]) -> BatchedRequest | None:
    """The requests as one; None where they differ in more than their text, or are fewer than two."""
    first = requests[0]
    alike = all(
        r.messages[:-1] == first.messages[:-1]
        and r.messages[-1].role == "user"
        and r.response_format == first.response_format
        and r.parameters == first.parameters
        and r.sample == first.sample
        for r in requests
    )
    return BatchedRequest(tuple(requests)) if alike and len(requests) > 1 else None


def requests_sent(requests: Iterable[Request], rows_per_request: int) -> Iterator[Request]:
    """The requests that are really sent where ``rows_per_request`` rows share one."""
    waiting = iter(requests)
    while part := list(islice(waiting, rows_per_request)):
        bundle = batch_requests(part)
        yield from (bundle.request,) if bundle is not None else part


# -- out


def _head(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The instructions with the rule at their end; earlier turns become one turn of the same shape."""
    said = [m.content for m in messages if m.role == "system"]
    turns = [m for m in messages if m.role != "system"]
    head = Message("system", "\n\n".join([*said, RULE]))
    asked, answered = turns[::2], turns[1::2]
    pairs = len(asked) == len(answered)
    if not turns or not pairs or any(m.role != "user" for m in asked):
        return (head, *turns)
    ids = [str(number) for number in range(1, len(asked) + 1)]
    shown = {mark: m.content for mark, m in zip(ids, asked, strict=True)}
    given = {mark: _value(m.content) for mark, m in zip(ids, answered, strict=True)}
    return (head, Message("user", _json(shown)), Message("assistant", _json(given)))


def _value(text: str) -> Any:
    """An earlier answer as JSON: the value where it is JSON, else a string."""
    try:
        return json.loads(text) if text[:1] in "{[" else text
    except ValueError:
        return text


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _answers(ids: Sequence[str], form: ResponseFormat) -> Schema:
    """The schema of one answer an id; the schema of an answer is written once."""
    one, definitions = _answer(form), {}
    if isinstance(form, Schema):
        definitions = dict(one.pop("$defs", {}))
    name = "answer"
    while name in definitions:
        name += "_"
    return Schema(
        {
            "type": "object",
            "properties": {mark: {"$ref": f"#/$defs/{name}"} for mark in ids},
            "required": list(ids),
            "additionalProperties": False,
            "$defs": {name: one, **definitions},
        },
        "answers",
    )


def _answer(form: ResponseFormat) -> dict[str, Any]:
    if isinstance(form, Schema):
        return dict(form.schema)
    one: dict[str, Any] = {"type": "string"}
    if not isinstance(form, OneOf):
        return one
    if len(form.choices) <= MANY_NAMES:
        one["enum"] = list(form.names)
    return {"type": "array", "items": one} | _most(form) if form.many else one


def _most(form: OneOf) -> dict[str, Any]:
    return {"maxItems": form.max_choices} if form.max_choices else {}


def _parameters(given: Mapping[str, Any], rows: int) -> Mapping[str, Any]:
    """The parameters, with the token limit multiplied for all rows."""
    limits = {
        name: (given[name] + OVERHEAD) * rows
        for name in ("max_new_tokens", "max_tokens")
        if isinstance(given.get(name), int)
    }
    return {**given, **limits} if limits else given


# -- back


def answers_by_id(text: str) -> list[tuple[str, Any]]:
    """The entries of the answer's object in order, repeated ids included.

    Of an answer that is cut off, the complete entries.
    """
    answer = strip_thinking_and_fences(text)
    found, value = parse_json(answer, _Entries)
    if not found:
        return list(_whole_entries(answer))
    entries = value.pairs if isinstance(value, _Entries) else []
    if len(entries) == 1 and not entries[0][0].strip().isdecimal() and isinstance(entries[0][1], _Entries):
        entries = entries[0][1].pairs  # {"answers": {"1": ...}}
    return [(mark.strip(), item) for mark, item in entries]


class _Entries(dict[str, Any]):
    """A JSON object that remembers its entries in order, repeated keys included."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


def _whole_entries(answer: str) -> Iterator[tuple[str, Any]]:
    decoder = json.JSONDecoder(strict=False)
    at = answer.find("{") + 1
    while at and (entry := _ENTRY.match(answer, at)):
        try:
            value, end = decoder.raw_decode(answer, entry.end())
        except ValueError:
            return
        after = _AFTER.match(answer, end)
        if after is None:  # a number may go on where the answer broke off
            return
        yield entry[1].strip(), value
        at = after.end()


def _own(response: Response, form: ResponseFormat, value: Any) -> Response:
    """One row's part of the response, as the backend would have answered it alone."""
    text = value if isinstance(value, str) else _json(value)
    parsed = value if isinstance(form, Schema) and isinstance(value, dict | list) else None
    finish = "stop" if response.finish_reason in CUT else response.finish_reason
    return replace(response, text=text, parsed=parsed, scores=None, method="", finish_reason=finish)


GIVE_UP_AFTER = 3
"""After this many first batches without one usable row, rows are asked alone."""

LEFT_OUT = (
    "some rows were missing in an answer to several, and were asked alone (attempts in llm.last.outputs)"
)
GIVEN_UP = "the model doesn't answer several rows by their ids; they were asked alone"


class BatchedRetrier(Retrier):
    """Sends several rows in one request; a row without an answer in it is asked alone.

    Each answer is stored under its own row's key. The usage of a shared request is split over all of its
    rows by length, and adds up exactly.
    """

    useless = 0
    useful = False

    async def ask(self, requests: Sequence[Request], keep: OnOutcomes) -> list[Reply]:
        """An answer or the last fault for each request, in order."""
        if not self.useful and self.useless >= GIVE_UP_AFTER:
            return await self._apart(requests, keep, GIVEN_UP)
        kinds = _alike(requests)
        asking = (self._one_kind([requests[i] for i in places], keep) for places in kinds)
        replies = [reply for part in await asyncio.gather(*asking) for reply in part]
        order = [i for places in kinds for i in places]
        return [reply for _, reply in sorted(zip(order, replies, strict=True), key=lambda pair: pair[0])]

    async def _one_kind(self, requests: Sequence[Request], keep: OnOutcomes) -> list[Reply]:
        """Send requests that may share one; halve the batch where it is refused."""
        bundle = batch_requests(requests)
        if bundle is None:
            return await self._apart(requests, keep)
        (reply,) = await super().ask([bundle.request], _nowhere)
        if isinstance(reply.outcome, BadRequest):  # too long, or refused for the sake of one row
            middle = len(requests) // 2
            first = await self._one_kind(requests[:middle], keep)
            return first + await self._one_kind(requests[middle:], keep)
        if not isinstance(reply.outcome, Response):
            return [Reply(reply.outcome, reply.attempts) for _ in requests]
        return await self._shared_out(bundle, reply.outcome, reply.attempts, keep)

    async def _shared_out(
        self, bundle: BatchedRequest, response: Response, attempts: int, keep: OnOutcomes
    ) -> list[Reply]:
        """Each row's own answer; the rows without one are asked alone."""
        requests = bundle.requests
        answers = bundle.read(response)
        self.useful = self.useful or any(answers)
        self.useless += not any(answers)
        shares = split_usage(response.usage, [len(request.messages[-1].content) for request in requests])
        own = {
            i: dataclasses.replace(answer, usage=used)
            for i, (answer, used) in enumerate(zip(answers, shares, strict=True))
            if answer is not None
        }
        keep([requests[i] for i in own], list(own.values()))
        left = [i for i in range(len(requests)) if i not in own]
        alone = await self._apart([requests[i] for i in left], keep, LEFT_OUT)
        missed = {
            i: Reply(reply.outcome, attempts + reply.attempts, _sum(shares[i], reply.usage))
            for i, reply in zip(left, alone, strict=True)
        }
        return [missed[i] if i in missed else Reply(own[i], attempts) for i in range(len(requests))]

    async def _apart(self, requests: Sequence[Request], keep: OnOutcomes, note: str = "") -> list[Reply]:
        """Send each request alone, side by side; ``note`` is added to their responses."""
        found = await asyncio.gather(*(self._alone(request, keep) for request in requests))
        return [reply._replace(outcome=_noted(reply.outcome, note)) for reply in found]

    async def _alone(self, request: Request, keep: OnOutcomes) -> Reply:
        (reply,) = await super().ask([request], keep)
        return reply


def _nowhere(requests: Sequence[Request], outcomes: Sequence[Outcome]) -> None:
    """Store nothing yet: a batched response is stored once it is taken apart."""


def _alike(requests: Sequence[Request]) -> list[list[int]]:
    """Groups of requests that have all but their last message in common."""
    kinds: dict[tuple[Message, ...], list[int]] = {}
    for place, request in enumerate(requests):
        kinds.setdefault(request.messages[:-1], []).append(place)
    return list(kinds.values())


def _noted(outcome: Outcome, note: str) -> Outcome:
    if not note or not isinstance(outcome, Response):
        return outcome
    return dataclasses.replace(outcome, notes=(*outcome.notes, note))


def _sum(one: Usage, other: Usage) -> Usage:
    return one if other is NO_USAGE else summed((one, other))
