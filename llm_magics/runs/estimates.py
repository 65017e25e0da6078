"""Estimates of a plan: rows, duplicates, stored responses, calls, tokens, cost, time. Nothing is sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from llm_magics.core import tokens
from llm_magics.core.prompt_formats import BEGUN, Rendered, as_messages, prompt_form, prompt_of
from llm_magics.core.types import FREE, Request
from llm_magics.engine.batched_requests import OVERHEAD, requests_sent
from llm_magics.runs.run import Plan
from llm_magics.store.responses import ResponseStore

LIKELY_OUTPUT = {"one_of": (4, 12), "text": (60, 300), "schema": (30, 200), "vector": (0, 0)}
"""Output tokens a call, low and high, where no limit was set: from label names to a long paragraph."""


@dataclass(frozen=True)
class Estimate:
    """What a plan would send. ``dollars`` is low to high, None where the price is unknown.

    ``duplicates``, ``stored`` and ``skipped`` are of the ``samples`` asks that each row makes, ``calls`` the
    requests that are left, which with ``rows_per_request`` several rows share.

    ``seconds`` at the concurrency in force, from what the backend says a request takes (``request_seconds``).
    ``prompt`` is the first one, rendered.
    """

    rows: int
    duplicates: int
    stored: int
    skipped: int
    calls: int
    input_tokens: int
    output_tokens: tuple[int, int]
    dollars: tuple[float, float] | None
    seconds: float
    concurrency: int
    backend: str
    prompt: Rendered = ()
    samples: int = 1
    skipped_as: str = "empty"
    form: str = ""
    """How the prompt is formatted, where it is not a conversation."""
    notes: tuple[str, ...] = ()
    """What the user should know of who labels, and of options that work otherwise here; one sentence each."""
    members: tuple[Estimate, ...] = ()
    """Where several labellers are asked: what each of them would be sent, if it saw every row."""
    reads: bool = True
    """False where the backend reads no prompts and nothing is paid or kept: only rows and time are told."""

    def __str__(self) -> str:
        if not self.reads:
            empty = f" ({self.skipped:,} {self.skipped_as})" if self.skipped else ""
            return f"{_number(self.rows, 'row')}{empty}, free, about {_time(self.seconds)}, {self.backend}"
        apart = f"{_number(self.duplicates, 'duplicate')}, {self.stored:,} stored" + (
            f", {self.skipped:,} {self.skipped_as}" if self.skipped else ""
        )
        each = f" x {self.samples}" if self.samples > 1 else ""
        if not self.calls:
            rows = f"{_number(self.rows, 'row')}{each} ({apart})"
            return f"{rows} -> 0 calls: nothing is left to ask {self.backend}"
        low, high = self.output_tokens
        return (
            f"{_number(self.rows, 'row')}{each} ({apart}) -> {_number(self.calls, 'call')}, "
            f"~{_short(self.input_tokens)} in / ~{_short(low)}-{_short(high)} out tokens, {self.money}, "
            f"about {_time(self.seconds)} at {self.concurrency} in parallel, {self.backend}"
        )

    @property
    def money(self) -> str:
        """The dollars as text."""
        if self.dollars is None:
            known = self.known_dollars
            return f"up to {_money(known, known)} and what has no known price" if known else "price unknown"
        return _money(*self.dollars) if any(self.dollars) else "free"

    @property
    def known_dollars(self) -> float:
        """The high end of the dollars, without labellers whose price is unknown."""
        return sum(each.dollars[1] for each in self.members or (self,) if each.dollars is not None)

    @property
    def first_prompt(self) -> str:
        """The first prompt as text: its messages, or the text that a format or a function makes of them."""
        if isinstance(self.prompt, str):
            return self.prompt
        return "\n\n".join(f"[{message.role}]\n{message.content}" for message in self.prompt)

    def __repr__(self) -> str:
        form = f" ({self.form})" if self.form else ""
        shown = f"\n\nFirst prompt{form}:\n{_readable(self.first_prompt)}" if self.prompt else ""
        return "\n".join((str(self), *self.notes)) + shown

    def _repr_html_(self) -> str:
        from llm_magics.runs.views import estimate_html

        prompt = (
            [("", self.prompt)]
            if isinstance(self.prompt, str)
            else [(message.role, message.content) for message in self.prompt]
        )
        shown = [(role, _readable(text)) for role, text in prompt if text]
        return estimate_html(self.facts(), self.notes, shown, self.form)

    def facts(self) -> Iterator[tuple[str, str]]:
        """What a notebook shows of it, by name: rows, model, calls, tokens, cost, time."""
        each = f" x {self.samples}" if self.samples > 1 else ""
        apart = {"duplicates": self.duplicates, "stored": self.stored, self.skipped_as: self.skipped}
        said = ", ".join(f"{n:,} {what}" for what, n in apart.items() if n)
        yield "rows", f"{self.rows:,}{each}" + (f" ({said})" if said else "")
        yield "model", self.backend
        if not self.reads:
            yield "cost", "free"
            yield "time", f"about {_time(self.seconds)}"
            return
        yield "calls", f"{self.calls:,}" if self.calls else "none: nothing is left to ask"
        if self.calls:
            low, high = map(_short, self.output_tokens)
            yield "tokens", f"about {_short(self.input_tokens)} in, {low} to {high} out"
            yield "cost", self.money
            yield "time", f"about {_time(self.seconds)} at {self.concurrency} in parallel"


READABLE = 4_000
"""Characters of a prompt that are shown in full."""


def _readable(prompt: str) -> str:
    """A prompt for display: of a very long one the beginning, the end, and the length between."""
    if len(prompt) <= READABLE:
        return prompt
    end = READABLE // 4
    between = len(prompt) - READABLE
    return f"{prompt[: READABLE - end]}\n... {between:,} characters more ...\n{prompt[-end:]}"


@dataclass
class _Tally:
    """Counts of work items: skipped, duplicate, stored, and ``asked`` in so many ``calls``."""

    skipped: int = 0
    duplicates: int = 0
    stored: int = 0
    asked: int = 0
    calls: int = 0
    inputs: int = 0
    first: Request | None = None


def estimate(plan: Plan, store: ResponseStore) -> Estimate:
    """Render every request of the plan, look it up in the store, and price the rest.

    Where several labellers are asked, these are the requests of all of them about every row: the most that
    can be sent, for nobody knows beforehand of which rows the quick ones are sure.
    """
    if plan.asker is None:
        return _of_one(plan, store)
    return _together(plan, [_of_one(each, store) for each in plan.asker.plans(plan)])


def _together(plan: Plan, members: Sequence[Estimate]) -> Estimate:
    """Several labellers' estimates as one; rows and prompt are those of the model that is asked last."""
    asked = [each for each in members if each.reads] or members
    shown = next((each for each in asked if each.backend == plan.backend.name), asked[-1])
    dollars = [each.dollars for each in asked if each.dollars is not None]
    outputs = [each.output_tokens for each in asked]
    return replace(
        shown,
        calls=sum(each.calls for each in asked),
        input_tokens=sum(each.input_tokens for each in asked),
        output_tokens=(sum(low for low, _ in outputs), sum(high for _, high in outputs)),
        dollars=(sum(low for low, _ in dollars), sum(high for _, high in dollars))
        if len(dollars) == len(asked)
        else None,
        seconds=sum(each.seconds for each in members),
        backend=plan.backend.name,
        notes=(*plan.notes, *plan.outlook, *_shares(asked)),
        members=tuple(members),
    )


def _shares(members: Sequence[Estimate]) -> Iterator[str]:
    """How many calls each labeller gets at most, where more than one is sent any."""
    sent = [each for each in members if each.reads and each.calls]
    if len(sent) > 1:
        each = ", ".join(f"{_number(each.calls, 'call')} of {each.backend} ({each.money})" for each in sent)
        yield f"At most {each}: rows of which the quicker ones are sure are not shown to the next."


def _of_one(plan: Plan, store: ResponseStore) -> Estimate:
    tally = _Tally()
    if not _reads(plan):
        for request in _requests(plan, tally):
            tally.first = tally.first or request
            tally.asked = tally.calls = tally.calls + 1
        return _priced(plan, tally, ())
    prompt: Rendered = ()
    for request in requests_sent(_unanswered(plan, store, tally), plan.target.rows_per_request):
        rendered = prompt_of(request)
        prompt = prompt or rendered
        tally.calls += 1
        tally.inputs += tokens.count_tokens("".join(m.content for m in as_messages(rendered)), request.model)
    return _priced(plan, tally, prompt or (prompt_of(tally.first) if tally.first else ()))


def _reads(plan: Plan) -> bool:
    """Whether the backend reads prompts, so that tokens and stored responses mean anything."""
    can = plan.backend.capabilities
    return can.text or can.stored or plan.backend.price != FREE


def _unanswered(plan: Plan, store: ResponseStore, tally: _Tally) -> Iterator[Request]:
    """The requests that were not asked before, in this run or an earlier one."""
    seen: set[str] = set()
    look = plan.options.use_store and not plan.options.refresh
    for batch in _batches(_requests(plan, tally), 2_000):
        known = store.known([r.key for r in batch]) if look else set()
        for request in batch:
            tally.first = tally.first or request
            if request.key in seen:
                tally.duplicates += 1
            elif request.key in known:
                tally.stored += 1
            else:
                tally.asked += 1
                yield request
            seen.add(request.key)


def _requests(plan: Plan, tally: _Tally) -> Iterator[Request]:
    for item in plan.work_items():
        requests = plan.requests(item)
        tally.skipped += not requests
        yield from requests


def _batches(requests: Iterator[Request], size: int) -> Iterator[list[Request]]:
    while batch := list(islice(requests, size)):
        yield batch


def _output(plan: Plan, tally: _Tally) -> tuple[int, int]:
    if not _reads(plan):
        return 0, 0
    low, high = LIKELY_OUTPUT[tally.first.response_format.kind if tally.first else "text"]
    limit = plan.target.parameters.get("max_new_tokens")
    if isinstance(limit, int):
        low, high = min(low, limit), min(max(high, limit), limit)
    more = OVERHEAD if plan.target.rows_per_request > 1 else 0
    return (low + more) * tally.asked, (high + more) * tally.asked


def _priced(plan: Plan, tally: _Tally, prompt: Rendered) -> Estimate:
    price, backend, outputs = plan.backend.price, plan.backend, _output(plan, tally)
    dollars = None
    if price is not None:
        dollars = tuple((tally.inputs * price.input + out * price.output) / 1e6 for out in outputs)
    concurrency = plan.options.limits.concurrency if plan.options.limits else None
    at_once = concurrency or backend.limits.concurrency or min(16, backend.capabilities.max_concurrency)
    rpm = (plan.options.limits.rpm if plan.options.limits else None) or backend.limits.rpm
    each = backend.request_seconds(tally.first.response_format) if tally.first else 0.0
    seconds = tally.calls / backend.capabilities.batch_size * each / at_once
    return Estimate(
        rows=len(plan.rows),
        duplicates=tally.duplicates,
        stored=tally.stored,
        skipped=tally.skipped,
        calls=tally.calls,
        input_tokens=tally.inputs,
        output_tokens=outputs,
        dollars=dollars,  # type: ignore[arg-type]
        seconds=max(seconds, tally.calls * 60 / rpm if rpm else 0.0),
        concurrency=at_once,
        backend=backend.name,
        prompt=prompt,
        samples=plan.samples,
        skipped_as="empty" if plan.parts is None else "empty or too long",
        form=_form(plan),
        notes=(*plan.notes, *plan.outlook),
        reads=_reads(plan),
    )


def _form(plan: Plan) -> str:
    form = prompt_form(plan.target.parameters)
    if form == "conversation":
        return ""
    if form == BEGUN:
        return "conversation whose answer is begun"
    return f"{form}: the model has no chat template" if plan.backend.completes else form


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _short(number: int) -> str:
    if number >= 1_000_000:
        return f"{number / 1e6:.1f}M"
    return f"{number / 1e3:.0f}k" if number >= 10_000 else f"{number:,}"


def _money(low: float, high: float) -> str:
    digits = 2 if high >= 0.1 else 4
    if high < 0.00005:
        return "<$0.0001"
    if f"{low:.{digits}f}" == f"{high:.{digits}f}":
        return f"${high:.{digits}f}"
    return f"${low:.{digits}f}-{high:.{digits}f}"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
