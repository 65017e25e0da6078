"""The same call, answered in bulk elsewhere: as a file, or by a provider's batch service at half the price.

    from llm_magics import label
    from llm_magics.bulk.batch import Batch

    batch = Batch(label, tickets, ["billing", "outage"], on="body", model="gpt-4.1-mini")
    batch.submit()                 # today
    batch.collect()                # tomorrow, from any kernel, after making the same Batch again
    label(tickets, ["billing", "outage"], on="body", model="gpt-4.1-mini")    # sends nothing

``batch.write("in.jsonl")`` and ``batch.read("out.jsonl")`` do it by hand, for ``vllm run-batch`` or a
cluster. Answers go into the response store by key, so the cell (or call) that would have asked finds them.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from llm_magics.backends.openai import batch_api
from llm_magics.backends.openai.batch_api import BatchService, State
from llm_magics.backends.openai.client import OpenAIBackend
from llm_magics.core.errors import NotFound, Unsupported, UsageError
from llm_magics.core.types import Request, Response
from llm_magics.options.option import build
from llm_magics.runs.functions import RunFunction
from llm_magics.runs.session import current
from llm_magics.settings.config import home_folder
from llm_magics.tasks.embed.plan import embed
from llm_magics.tasks.extract.plan import extract
from llm_magics.tasks.generate.plan import generate, summarize, translate
from llm_magics.tasks.judge.plan import judge
from llm_magics.tasks.label.plan import label

FUNCTIONS: Mapping[str, RunFunction[Any]] = {
    function.__name__: function for function in (label, generate, embed, extract, judge, summarize, translate)
}
"""The functions whose requests a batch can hold."""

DISCOUNT = 0.5
"""What OpenAI's batch service takes of the usual price (platform.openai.com/docs/guides/batch)."""

CHUNK = 500


@dataclass(frozen=True)
class Read:
    """What an answer file brought: rows answered now, the errors by kind, requests still open."""

    answered: int
    failed: Mapping[str, int]
    missing: int

    def __str__(self) -> str:
        faults = ", ".join(f"{count} {kind}" for kind, count in self.failed.items())
        return f"{self.answered} answers kept; {faults or 'no errors'}; {self.missing} still open"


class Batch:
    """One call of ``label``, ``generate``, ... as requests; making it sends nothing.

    Raises UsageError where the call itself would, Unsupported for a backend that is not of the OpenAI
    format (that is the format of batch files), or for a task that asks in several steps.
    """

    def __init__(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        name = getattr(function, "__name__", str(function))
        if name not in FUNCTIONS:
            raise NotFound.among("function that can be a batch", name, FUNCTIONS)
        self.session, known = current(), FUNCTIONS[name]
        self.plan = known.plan(self.session, build(known.options, arguments, options))
        if not isinstance(self.plan.backend, OpenAIBackend):
            raise Unsupported(
                f"{self.plan.backend.name} has no batch files.",
                hint="openai, azure, custom_url and vllm have them.",
            )
        if self.plan.target.rows_per_request > 1:
            raise Unsupported(
                "a batch file asks about each row by itself.", hint="Leave out rows_per_request."
            )
        if self.plan.strategy is not None:
            raise Unsupported("this call asks in several steps.", hint="Leave out --agree and --calibrate.")
        self.backend: OpenAIBackend = self.plan.backend

    @cached_property
    def requests(self) -> dict[str, Request]:
        """Every different request of the call by key."""
        made = (
            self.plan.task.request(item.row, self.plan.target, item.sample) for item in self.plan.work_items()
        )
        return {request.key: request for request in made if request is not None}

    def open(self) -> Iterator[Request]:
        """The requests without an answer in the store."""
        waiting = iter(self.requests.items())
        while part := dict(islice(waiting, CHUNK)):
            found = self.session.store.get_many(list(part))
            yield from (request for key, request in part.items() if key not in found)

    def write(self, path: str | Path) -> int:
        """Write what is open as a batch file; returns the number of lines."""
        return batch_api.write(path, self.backend, self.open())

    def read(self, path: str | Path, *, discount: float = 1.0) -> Read:
        """Keep the answers of a file. An error stays open: the next run asks for it."""
        kept: list[tuple[Request, Response]] = []
        failed: dict[str, int] = {}
        for request, outcome in batch_api.read(path, self.backend, self.requests):
            if isinstance(outcome, Response):
                kept.append((request, _cheaper(outcome, discount)))
            else:
                kind = type(outcome).__name__
                failed[kind] = failed.get(kind, 0) + 1
        self.session.store.put_many(kept)
        return Read(len(kept), failed, sum(1 for _ in self.open()))

    # -- a provider's batch service

    def submit(self) -> State:
        """Send what is open to the provider's batch service, and remember under which id."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "requests.jsonl"
            if not self.write(path):
                raise UsageError("nothing is open: every row has its answer.")
            with path.open(encoding="utf-8") as file:
                endpoint = json.loads(file.readline())["url"]
            state = self._service().submit(path, endpoint)
        _remember(self.name, state.id)
        return state

    def status(self, id: str | None = None) -> State:  # noqa: A002 - the service's word
        """How the batch stands: the one submitted last for this call, from any kernel, or the one named."""
        return self._service().state(id or self._known())

    def collect(self, id: str | None = None) -> Read | State:  # noqa: A002 - the service's word
        """Keep the answers of a batch that is over; its state where it isn't yet."""
        service = self._service()
        state = service.state(id or self._known())
        if not state.over:
            return state
        total = Read(0, {}, 0)
        with tempfile.TemporaryDirectory() as folder:
            for number, file in enumerate(state.files):
                path = Path(folder) / f"{number}.jsonl"
                service.fetch(file, path)
                total = _sum(total, self.read(path, discount=DISCOUNT))
        if not state.files:
            raise UsageError(f"the batch {state.id} is {state.status}: {state.error or 'it has no answers'}.")
        return total

    @cached_property
    def name(self) -> str:
        """What tells this call from others: a hash of its requests."""
        return hashlib.sha256("".join(sorted(self.requests)).encode()).hexdigest()[:24]

    def _service(self) -> BatchService:
        headers = self.session.loop.run(self.backend.access.headers())
        return BatchService(self.backend, headers)

    def _known(self) -> str:
        found = _submitted().get(self.name)
        if found is None:
            raise NotFound("no batch was submitted for this call.", hint="batch.submit(), or give its id.")
        return found


def _cheaper(response: Response, discount: float) -> Response:
    cost = response.usage.cost
    if cost is None or discount == 1.0:
        return response
    return replace(response, usage=replace(response.usage, cost=cost * discount))


def _sum(one: Read, other: Read) -> Read:
    kinds = dict.fromkeys((*one.failed, *other.failed))
    failed = {kind: one.failed.get(kind, 0) + other.failed.get(kind, 0) for kind in kinds}
    return Read(one.answered + other.answered, failed, other.missing)


def _book() -> Path:
    return home_folder() / "batches.json"


def _submitted() -> dict[str, str]:
    """Call -> the id of its last batch."""
    path = _book()
    found: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def _remember(name: str, id: str) -> None:  # noqa: A002 - the service's word
    path = _book()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**_submitted(), name: id}, indent=1), encoding="utf-8")
