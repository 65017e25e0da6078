"""``--too-long``: rows that the model can't read whole are cut, split and put together, or fail; recorded."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeAlias

from llm_magics import tokens
from llm_magics.api import calibration
from llm_magics.api.run import Plan, Run
from llm_magics.errors import ContextOverflow, UsageError
from llm_magics.motion.engine import Ask, Engine, Options
from llm_magics.prices import together
from llm_magics.prompts import text_of
from llm_magics.tasks.extract import Entities, Extract
from llm_magics.tasks.generate import Generate
from llm_magics.tasks.label import Label
from llm_magics.tasks.presets import Summary
from llm_magics.types import Result, Status

Policy: TypeAlias = Literal["truncate", "split", "fail"]
POLICIES: tuple[Policy, ...] = ("truncate", "split", "fail")
RESERVE = 512
"""Tokens of the context window that are left for the answer."""
_SLACK = 0.9
"""Counts of tokens are estimates: so much of the room is used."""


class Books(Protocol):
    """What is needed of the session."""

    @property
    def engine(self) -> Engine:
        """The engine."""


@dataclass(frozen=True)
class Fit:
    """A policy with the tokens a row's text may have, for the column that holds it."""

    policy: Policy
    room: int
    column: str
    model: str

    def parts(self, text: str) -> list[str]:
        """The text in pieces that fit, cut where a paragraph, a line, a sentence or a word ends."""
        pieces, left = [], text
        while tokens.count(left, self.model) > self.room:
            end = self._end(left)
            pieces.append(left[:end])
            left = left[end:]
        return [*pieces, left] if left.strip() or not pieces else pieces

    def asks(self, ask: Ask) -> list[Ask]:
        """What is asked about a row: itself where it fits, else what the policy makes of it."""
        parts = self.parts(text_of(ask.row[self.column]))
        if len(parts) == 1:
            return [ask]
        kept = {"truncate": parts[:1], "split": parts, "fail": []}[self.policy]
        return [_with(ask, self.column, part) for part in kept]

    def _end(self, text: str) -> int:
        share = self.room / tokens.count(text, self.model)
        most = max(1, int(len(text) * share * _SLACK))
        while most > 1 and tokens.count(text[:most], self.model) > self.room:
            most = max(1, int(most * _SLACK))
        for mark in ("\n\n", "\n", ". ", " "):
            at = text.rfind(mark, most // 2, most)
            if at > 0:
                return at + len(mark)
        return most


def fitted(plan: Plan, policy: str, room: int | None) -> Plan:
    """The plan with what becomes of rows that are too long, and the column ``{output}_cut`` that says so.

    The column has the characters left out (``truncate``) or the number of parts (``split``), 0 for a row
    that was read whole. Raises UsageError for a plan that can't have it.
    """
    if policy not in POLICIES:
        raise UsageError(f"--too-long {policy}?", hint=f"--too-long {'|'.join(POLICIES)}")
    if plan.work is not None or plan.samples > 1:
        raise UsageError("--too-long goes with one plain answer a row.", hint="Leave out the other depths.")
    if policy == "split" and not _can_combine(plan):
        raise UsageError(f"{plan.task.name} can't be split.", hint="--too-long truncate or --too-long fail")
    fit = Fit(policy, room or _room(plan), _column(plan), plan.backend.model)
    columns = (*plan.columns, f"{plan.output.rstrip('_')}_cut")
    return replace(plan, columns=columns, work=_work(fit), parts=fit.asks)


def _room(plan: Plan) -> int:
    """The context window less the prompt around an empty text and the answer. Raises UsageError."""
    window = plan.backend.capabilities.context_window
    if window is None:
        raise UsageError(
            f"how much {plan.backend.name} can read is not known.",
            hint="Say how many tokens a row's text may have: --room 4000",
        )
    asked = plan.task.request(dict.fromkeys(plan.inputs, "."), plan.target)
    around = sum(tokens.count(m.content, plan.backend.model) for m in asked.messages) if asked else 0
    left = (window - around) // plan.target.together
    left -= int(plan.target.parameters.get("max_new_tokens", RESERVE))
    if left < 16:
        raise UsageError(f"the instructions alone fill the {window:,} tokens that {plan.backend.name} reads.")
    return left


def _column(plan: Plan) -> str:
    """The column whose text is cut: the task's, or of several the longest on average."""
    if len(plan.inputs) == 1:
        return plan.inputs[0]
    some = list(plan.rows)[:200]
    length = {
        name: sum(len(text_of(values[row])) for row in some)
        for name in plan.inputs
        for values in [plan.frame.values(name)]
    }
    return max(length, key=length.__getitem__)


def _can_combine(plan: Plan) -> bool:
    task = plan.task
    if isinstance(task, Generate):
        return task.name in ("summarize", "translate")
    return isinstance(task, Label | Entities) or (isinstance(task, Extract) and task.model is None)


def _work(fit: Fit) -> Callable[[Books, Run], Coroutine[Any, Any, None]]:
    async def carry_out(books: Books, run: Run) -> None:
        plan = run.plan
        mark = plan.columns[-1]
        long: list[Ask] = []
        cut: dict[int, int] = {}

        def short() -> Iterator[Ask]:
            for ask in plan.asks():
                parts = fit.parts(text_of(ask.row[fit.column]))
                if len(parts) == 1:
                    cut[ask.index] = 0
                    yield ask
                elif fit.policy == "truncate":
                    cut[ask.index] = sum(map(len, parts[1:]))
                    yield _with(ask, fit.column, parts[0])
                else:
                    long.append(ask)

        def take(result: Result) -> None:
            run.deliver(_marked(result, mark, cut.pop(result.index)))

        await books.engine.run(short(), plan.task, plan.backend, plan.target, plan.options, take)
        for ask in long:
            if fit.policy == "fail":
                run.deliver(Result(ask.index, "failed", error=_overflow(fit, ask)))
        if fit.policy == "split" and long:
            await _split(books, run, fit, long, mark)

    return carry_out


def _overflow(fit: Fit, ask: Ask) -> ContextOverflow:
    count = tokens.count(text_of(ask.row[fit.column]), fit.model)
    return ContextOverflow(
        f"the text has about {count:,} tokens, {fit.room:,} fit.",
        hint="--too-long truncate or --too-long split reads it anyway.",
    )


def _with(ask: Ask, column: str, text: str, index: int | None = None) -> Ask:
    return Ask(ask.index if index is None else index, {**ask.row, column: text}, ask.sample)


def _marked(result: Result, mark: str, value: int) -> Result:
    return replace(result, values={**result.values, mark: value}) if result.values else result


async def _split(books: Books, run: Run, fit: Fit, long: Sequence[Ask], mark: str) -> None:
    """Ask about every part of the long rows; put a row together when it has all of them."""
    plan = run.plan
    parts = {ask.index: fit.parts(text_of(ask.row[fit.column])) for ask in long}
    owners = [(ask, n) for ask in long for n in range(len(parts[ask.index]))]
    asks = (_with(ask, fit.column, parts[ask.index][n], at) for at, (ask, n) in enumerate(owners))
    found: dict[int, Result] = {}
    options = _left(plan, run.meter.cost)
    await books.engine.run(
        asks,
        plan.task,
        plan.backend,
        plan.target,
        options,
        lambda result: found.update({result.index: result}),
    )
    again: list[Ask] = []
    held: dict[int, list[Result]] = {}
    for at, (ask, _) in enumerate(owners):
        held.setdefault(ask.index, []).append(found[at])
    whole: dict[int, Result] = {}
    for ask in long:
        made = _combined(plan, ask.index, held[ask.index], parts[ask.index])
        whole[ask.index] = made
        if isinstance(plan.task, Summary) and made.values:
            again.append(_with(ask, fit.column, str(made.values[plan.output])))
    if again:
        spent = sum(result.usage.cost or 0.0 for result in found.values())
        await books.engine.run(
            again,
            plan.task,
            plan.backend,
            plan.target,
            _left(plan, run.meter.cost + spent),
            lambda result: whole.update({result.index: _sum(result, held[result.index])}),
        )
    for index, result in whole.items():
        run.deliver(_marked(result, mark, len(parts[index])))


def _left(plan: Plan, spent: float) -> Options:
    """The run's options with what is left of its budget."""
    most = plan.options.max_cost
    return plan.options if most is None else replace(plan.options, max_cost=max(0.0, most - spent))


def _sum(result: Result, parts: Sequence[Result]) -> Result:
    """The result with what its parts took on the books."""
    used = together([part.usage for part in parts] + [result.usage])
    return replace(result, usage=used, attempts=result.attempts + sum(part.attempts for part in parts))


def _combined(plan: Plan, index: int, results: Sequence[Result], texts: Sequence[str]) -> Result:
    """One result from those of the parts; failed where a part failed: half a row is not the row."""
    used = together([result.usage for result in results])
    bad = next((result for result in results if result.status == "failed"), None)
    attempts = sum(result.attempts for result in results)
    if bad is not None:
        return Result(index, "failed", error=bad.error, usage=used, attempts=attempts)
    read = [(result, text) for result, text in zip(results, texts, strict=True) if result.values]
    if not read:
        return Result(index, "skipped", usage=used, attempts=attempts)
    values = _values(plan, read)
    status: Status = "repaired" if any(result.status != "ok" for result, _ in read) else "ok"
    return Result(index, status, values, read[0][0].response, usage=used, attempts=attempts)


def _values(plan: Plan, read: Sequence[tuple[Result, str]]) -> Mapping[str, Any]:
    task = plan.task
    found = [result.values for result, _ in read]
    if isinstance(task, Label):
        return _label(task, read)
    if isinstance(task, Entities):
        return {
            task.output: _shifted(
                [(values[task.output], text) for values, (_, text) in zip(found, read, strict=True)]
            )
        }
    if isinstance(task, Extract) and task.many:
        return {task.columns[0]: [record for values in found for record in values[task.columns[0]]]}
    if isinstance(task, Extract):
        return {name: _first([values[name] for values in found]) for name in task.columns}
    return {plan.output: "\n\n".join(str(values[plan.output]) for values in found)}


def _label(task: Label, read: Sequence[tuple[Result, str]]) -> Mapping[str, Any]:
    """Chances averaged by length where all parts have them; else votes; of several labels the union."""
    found = [result.values for result, _ in read]
    scores = [result.response.scores if result.response else None for result, _ in read]
    if task.many or task.wide:
        if task.wide:
            return {name: any(values[name] for values in found) for name in found[0]}
        names = {name for values in found for name in values[task.output]}
        return {**found[0], task.output: [name for name in task.labels.names if name in names]}
    if all(scores) and not task.explain:
        mean = _mean(
            [(dict(chances or {}), len(text)) for chances, (_, text) in zip(scores, read, strict=True)]
        )
        return task.scored(mean)
    best, share = calibration.vote([values[task.output] for values in found], task.labels.names)
    winner = next(values for values in found if values[task.output] == best)
    return {**winner, task.output: best, f"{task.output}_confidence": share}


def _mean(parts: Sequence[tuple[Mapping[str, float], int]]) -> dict[str, float]:
    whole = sum(weight for _, weight in parts)
    names = dict.fromkeys(name for chances, _ in parts for name in chances)
    return {name: sum(chances.get(name, 0.0) * weight for chances, weight in parts) / whole for name in names}


def _shifted(parts: Sequence[tuple[Sequence[Mapping[str, Any]], str]]) -> list[dict[str, Any]]:
    """Spans of the parts with offsets into the whole text."""
    spans, offset = [], 0
    for found, text in parts:
        spans += [{**span, "start": span["start"] + offset, "end": span["end"] + offset} for span in found]
        offset += len(text)
    return spans


def _first(values: Sequence[Any]) -> Any:
    """The first value that says something; lists are joined, each item once."""
    if all(isinstance(value, list) for value in values):
        joined: list[Any] = []
        for value in values:
            joined += [item for item in value if item not in joined]
        return joined
    return next((value for value in values if value is not None), None)
