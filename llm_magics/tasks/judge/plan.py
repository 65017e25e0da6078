"""The plan of ``judge``: ratings of one column, or a ranking of several texts a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Unpack

from llm_magics.core.errors import UsageError
from llm_magics.runs import planning
from llm_magics.runs.execution import execute
from llm_magics.runs.planning import Common
from llm_magics.runs.run import Plan
from llm_magics.runs.session import Session, current
from llm_magics.tasks.judge.task import Compare, Rate, standing

MOST = 6
"""Candidates a row at most: six make 15 pairs, 30 questions a row."""


def plan_judge(
    session: Session,
    data: Any,
    criteria: str | None = "",
    *,
    columns: Sequence[str] = (),
    context: str | None = None,
    scale: tuple[int, int] = (1, 5),
    **options: Any,
) -> Plan:
    """The plan of ``judge``; takes what it takes."""
    common: Common = options  # type: ignore[assignment]
    given = planning.source(data, common)
    named = tuple(columns) or (planning.text_column(given),)
    for name in (*named, *([context] if context else [])):
        given.frame.require(name)
    inputs = (*named, *([context] if context else []))
    backend = planning.backend_for(session, common, "generate", "schema")
    most = _most(given, named)
    if len(named) == 1 and not most:
        low, high = scale
        if low >= high:
            raise UsageError(f"the scale {low}-{high} goes nowhere.", hint="--scale 1-5")
        output = planning.output_name(given.frame, common, "rating")
        rate = Rate(named[0], criteria or "", output, low, high, context)
        return planning.plan(
            session, given, rate, backend, common, inputs=inputs, parameters={"temperature": 0}
        )
    count = most or len(named)
    if count > MOST:
        raise UsageError(
            f"{count} candidates a row make {count * (count - 1)} questions a row.",
            hint=f"Compare at most {MOST}, or rate them: --on COLUMN",
        )
    output = planning.output_name(given.frame, common, "best")
    compare = Compare(named, criteria or "", output, context, most)
    return planning.plan(
        session,
        given,
        compare,
        backend,
        common,
        inputs=inputs,
        parameters={"temperature": 0},
        samples=max(1, 2 * len(compare.pairs)),
        gather=_standings(compare),
    )


def judge(
    data: Any,
    criteria: str = "",
    *,
    columns: Sequence[str] = (),
    context: str | None = None,
    scale: tuple[int, int] = (1, 5),
    **options: Unpack[Common],
) -> Any:
    """Rate one text a row, or rank several.

    Args:
        data: a DataFrame, a Series or a list of texts.
        criteria: what to judge by.
        columns: one column of texts is rated on ``scale``; several columns, or one that holds lists
            (``num_generations``), are compared in pairs, each pair both ways round.
        context: a column shown beside the text, such as the question it answers.
        options: see ``plans.Common``.

    Returns the frame with ``rating`` and ``rating_reason``, or with ``best`` (the winner's column, or
    its place in the list; ``tie``), ``best_ranking``, ``best_points`` (1 a pair won, 1/2 a tie) and
    ``best_agreement`` (the share of pairs judged alike both ways round). Raises UsageError.
    """
    session = current()
    plan = plan_judge(session, data, criteria, columns=columns, context=context, scale=scale, **options)
    return execute(session, plan, options)


async def judge_async(data: Any, criteria: str = "", **arguments: Any) -> Any:
    """``judge`` for a running event loop."""
    return await judge(data, criteria, **arguments, background=True)


def _most(given: planning.Source, named: Sequence[str]) -> int:
    """The length of the longest list, where one column holds lists of texts; else 0."""
    if len(named) > 1:
        return 0
    values = given.frame.values(named[0])
    lists = [values[p] for p in given.rows if isinstance(values[p], list | tuple)]
    if not lists:
        return 0
    longest = max(map(len, lists))
    if longest < 2:
        raise UsageError(
            f"{named[0]} holds lists of fewer than two texts.", hint="Nothing can be compared there."
        )
    return longest


def _standings(task: Compare) -> Callable[[dict[str, list[Any]]], dict[str, list[Any]]]:
    """Verdicts of a row into its winner, its ranking, its points, and how consistent the judge was."""
    names = list(task.candidates) if len(task.candidates) > 1 else list(range(task.most))

    def gather(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
        found = [standing(len(names), task.pairs, verdicts) for verdicts in columns[task.output]]
        rest = {name: values for name, values in columns.items() if name.endswith(("_status", "_error"))}
        return {
            task.output: [None if s is None else "tie" if s.best is None else names[s.best] for s in found],
            f"{task.output}_ranking": [None if s is None else [names[i] for i in s.order] for s in found],
            f"{task.output}_points": [None if s is None else list(s.points) for s in found],
            f"{task.output}_agreement": [None if s is None else s.agreed for s in found],
            **rest,
        }

    return gather
