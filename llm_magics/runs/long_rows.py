"""Rows that are longer than the model's context (``--too-long``): truncated, split and merged, or failed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from llm_magics.backends.pricing import total_usage
from llm_magics.core import tokens
from llm_magics.core.errors import ContextOverflow, UsageError
from llm_magics.core.types import Result, Status
from llm_magics.data.templates import cell_text
from llm_magics.engine.request_queue import WorkItem
from llm_magics.engine.task import MergeableTask, Part
from llm_magics.engine.worker_pool import Options
from llm_magics.options.run_options import POLICIES, Policy
from llm_magics.runs.passes import RunContext, Strategy, single_pass
from llm_magics.runs.run import Plan, Run

RESERVE = 512
"""Tokens of the context that are reserved for the answer."""
_SLACK = 0.9
"""The share of the room that is used, since token counts are estimates."""


@dataclass(frozen=True)
class LengthPolicy:
    """A policy for long rows, with the tokens that a row's text may have, for the column that holds it."""

    policy: Policy
    room: int
    column: str
    model: str

    def parts(self, text: str) -> list[str]:
        """The text in parts that fit, split at the end of a paragraph, a line, a sentence or a word."""
        pieces, left = [], text
        while tokens.count_tokens(left, self.model) > self.room:
            end = self._end(left)
            pieces.append(left[:end])
            left = left[end:]
        return [*pieces, left] if left.strip() or not pieces else pieces

    def work_items(self, item: WorkItem) -> list[WorkItem]:
        """The work items of a row: the row itself where it fits, else what the policy makes of it."""
        parts = self.parts(cell_text(item.row[self.column]))
        if len(parts) == 1:
            return [item]
        kept = {"truncate": parts[:1], "split": parts, "fail": []}[self.policy]
        return [_with(item, self.column, part) for part in kept]

    def _end(self, text: str) -> int:
        share = self.room / tokens.count_tokens(text, self.model)
        most = max(1, int(len(text) * share * _SLACK))
        while most > 1 and tokens.count_tokens(text[:most], self.model) > self.room:
            most = max(1, int(most * _SLACK))
        for mark in ("\n\n", "\n", ". ", " "):
            at = text.rfind(mark, most // 2, most)
            if at > 0:
                return at + len(mark)
        return most


def with_length_policy(plan: Plan, policy: Policy, room: int | None) -> Plan:
    """The plan with a policy for long rows and the column ``{output}_cut``.

    The column has the number of characters left out (``truncate``) or of parts (``split``), 0 for a row
    that was read whole. Raises UsageError for a plan that can't have a policy.
    """
    if policy not in POLICIES:
        raise UsageError(f"--too-long {policy}?", hint=f"--too-long {'|'.join(POLICIES)}")
    if plan.strategy is not None or plan.samples > 1:
        raise UsageError(
            "--too-long goes with one answer a row.", hint="Leave out --votes, --calibrate and --agree."
        )
    if policy == "split" and not (isinstance(plan.task, MergeableTask) and plan.task.can_merge):
        raise UsageError(f"{plan.task.name} can't be split.", hint="--too-long truncate or --too-long fail")
    fit = LengthPolicy(policy, room or _room(plan), _column(plan), plan.backend.model)
    columns = (*plan.columns, f"{plan.output.rstrip('_')}_cut")
    return replace(plan, columns=columns, strategy=_work(fit), parts=fit.work_items)


def _room(plan: Plan) -> int:
    """The context less the prompt around an empty text and the answer, in tokens. Raises UsageError."""
    window = plan.backend.capabilities.context_window
    if window is None:
        raise UsageError(
            f"how much {plan.backend.name} can read is not known.",
            hint="Say how many tokens a row's text may have: --room 4000",
        )
    asked = plan.task.request(dict.fromkeys(plan.inputs, "."), plan.target)
    around = sum(tokens.count_tokens(m.content, plan.backend.model) for m in asked.messages) if asked else 0
    left = (window - around) // plan.target.rows_per_request
    left -= int(plan.target.parameters.get("max_new_tokens", RESERVE))
    if left < 16:
        raise UsageError(f"the instructions alone fill the {window:,} tokens that {plan.backend.name} reads.")
    return left


def _column(plan: Plan) -> str:
    """The column whose text is truncated: the task's, or of several the longest on average."""
    if len(plan.inputs) == 1:
        return plan.inputs[0]
    some = list(plan.rows)[:200]
    length = {
        name: sum(len(cell_text(values[row])) for row in some)
        for name in plan.inputs
        for values in [plan.frame.values(name)]
    }
    return max(length, key=length.__getitem__)


def _work(fit: LengthPolicy) -> Strategy:
    async def carry_out(context: RunContext, run: Run) -> None:
        plan = run.plan
        mark = plan.columns[-1]
        long: list[WorkItem] = []
        cut: dict[int, int] = {}

        def short() -> Iterator[WorkItem]:
            for item in plan.work_items():
                parts = fit.parts(cell_text(item.row[fit.column]))
                if len(parts) == 1:
                    cut[item.index] = 0
                    yield item
                else:
                    long.append(item)
                    if fit.policy == "truncate":
                        cut[item.index] = sum(map(len, parts[1:]))
                        yield _with(item, fit.column, parts[0])

        def take(result: Result) -> None:
            run.deliver(_marked(result, mark, cut.pop(result.index)))

        await single_pass(context, run, short(), take)
        if fit.policy == "fail":
            for item in long:
                run.deliver(Result(item.index, "failed", error=_overflow(fit, item)))
        if fit.policy == "split":
            await SplitRows(context, run, fit, mark).carry_out(long)
        _record(run, fit, len(long), mark)

    return carry_out


_BECAME = {
    "truncate": "cut at the end; {mark} has the characters left out",
    "split": "read in parts and put together; {mark} has how many",
    "fail": "not sent",
}


def _record(run: Run, fit: LengthPolicy, rows: int, mark: str) -> None:
    """Tell under the result and in the manifest how many rows were too long, and what became of them."""
    run.details["too_long"] = {"policy": fit.policy, "room": fit.room, "rows": rows}
    if rows:
        what = "1 row was" if rows == 1 else f"{rows:,} rows were"
        became = _BECAME[fit.policy].format(mark=mark)
        run.notes.setdefault(f"{what} longer than {fit.room:,} tokens: {became}")


def _overflow(fit: LengthPolicy, item: WorkItem) -> ContextOverflow:
    count = tokens.count_tokens(cell_text(item.row[fit.column]), fit.model)
    return ContextOverflow(
        f"the text has about {count:,} tokens, {fit.room:,} fit.",
        hint="--too-long truncate or --too-long split reads it anyway.",
    )


def _with(item: WorkItem, column: str, text: str, index: int | None = None) -> WorkItem:
    return WorkItem(item.index if index is None else index, {**item.row, column: text}, item.sample)


def _marked(result: Result, mark: str, value: int) -> Result:
    return replace(result, values={**result.values, mark: value}) if result.values else result


def _merged(task: MergeableTask, index: int, results: Sequence[Result], texts: Sequence[str]) -> Result:
    """One result from those of the parts; failed where a part failed."""
    used = total_usage([result.usage for result in results])
    bad = next((result for result in results if result.status == "failed"), None)
    attempts = sum(result.attempts for result in results)
    if bad is not None:
        return Result(index, "failed", error=bad.error, usage=used, attempts=attempts)
    parts = [Part(result, text) for result, text in zip(results, texts, strict=True) if result.values]
    if not parts:
        return Result(index, "skipped", usage=used, attempts=attempts)
    status: Status = "repaired" if any(part.result.status != "ok" for part in parts) else "ok"
    response = parts[0].result.response
    error = next((result.error for result in results if result.error is not None), None)
    return Result(index, status, task.merge(parts), response, "", error, attempts, used)


class SplitRows:
    """Asks about every part of long rows; a row is delivered as soon as all of its parts are answered.

    Summaries of parts are summarized again, in parts where they are too long themselves, as long as that
    makes them shorter.
    """

    def __init__(self, context: RunContext, run: Run, fit: LengthPolicy, mark: str) -> None:
        self.context, self.run, self.fit, self.mark = context, run, fit, mark
        self.counts: dict[int, int] = {}
        self.earlier: dict[int, Result] = {}

    async def carry_out(self, long: Sequence[WorkItem]) -> None:
        """Repeat rounds until every row is delivered."""
        left = {item.index: item for item in long}
        while left:
            left = await self._round(left)

    async def _round(self, left: Mapping[int, WorkItem]) -> dict[int, WorkItem]:
        """Ask about all parts; returns the rows to ask about once more, with their new text."""
        column = self.fit.column
        parts = {index: self.fit.parts(cell_text(item.row[column])) for index, item in left.items()}
        places = [(index, n) for index, texts in parts.items() for n in range(len(texts))]
        items = (_with(left[i], column, parts[i][n], at) for at, (i, n) in enumerate(places))
        found: dict[int, dict[int, Result]] = {index: {} for index in left}
        again: dict[int, WorkItem] = {}

        def take(result: Result) -> None:
            index, n = places[result.index]
            found[index][n] = result
            if len(found[index]) == len(parts[index]):
                text = self._whole(index, [found[index][n] for n in range(len(parts[index]))], parts[index])
                if text is not None:
                    again[index] = _with(left[index], column, text)

        await single_pass(self.context, self.run, items, take, self._options())
        return again

    def _whole(self, index: int, results: Sequence[Result], texts: Sequence[str]) -> str | None:
        """Deliver the row, or return the text to summarize next."""
        task = self.run.plan.task
        assert isinstance(task, MergeableTask)
        made = _merged(task, index, results, texts)
        if index in self.earlier:
            made = _sum(made, self.earlier[index])
        self.counts.setdefault(index, len(texts))
        joined = str(made.values.get(task.output)) if task.merges_again and made.values else ""
        if joined and len(texts) > 1 and len(joined) < sum(map(len, texts)):
            self.earlier[index] = made
            return joined
        self.earlier.pop(index, None)
        self.run.deliver(_marked(made, self.mark, self.counts[index]))
        return None

    def _options(self) -> Options:
        """The run's options with the rest of its budget."""
        options = self.run.plan.options
        if options.max_cost is None:
            return options
        spent = self.run.meter.cost + sum(result.usage.cost or 0.0 for result in self.earlier.values())
        return replace(options, max_cost=max(0.0, options.max_cost - spent))


def _sum(result: Result, earlier: Result) -> Result:
    """The result with the usage of the earlier rounds added."""
    used = total_usage([earlier.usage, result.usage])
    return replace(result, usage=used, attempts=result.attempts + earlier.attempts)
