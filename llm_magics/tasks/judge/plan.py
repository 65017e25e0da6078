"""``judge``: its options checked and made into a plan for ratings or rankings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llm_magics.core.errors import UsageError
from llm_magics.runs import planning
from llm_magics.runs.functions import in_background, run_function
from llm_magics.runs.run import Plan
from llm_magics.runs.session import Session
from llm_magics.tasks.judge.options import JudgeOptions
from llm_magics.tasks.judge.task import Compare, Rate, standing

MOST = 6
"""Candidates a row at most: six make 15 pairs, 30 questions a row."""


@run_function(JudgeOptions)
def judge(session: Session, options: JudgeOptions) -> Plan:
    """Rate one text a row, or rank several.

    Returns the frame with ``rating`` and ``rating_reason``, or with ``best`` (the winner's column, or
    its place in the list; ``tie``), ``best_ranking``, ``best_points`` (1 a pair won, 1/2 a tie) and
    ``best_agreement`` (the share of pairs judged alike both ways round). Raises UsageError before
    anything is sent.
    """
    given = planning.source(options)
    named = tuple(options.columns) or (planning.text_column(given),)
    inputs = (*named, *([options.context] if options.context else []))
    for name in inputs:
        given.frame.require(name)
    backend = planning.backend_for(session, options, "generate", "schema")
    length = _longest_list(given, named)
    parameters = {"temperature": 0}
    if len(named) == 1 and not length:
        rate = _rating(given, options, named[0])
        return planning.plan(session, given, rate, backend, options, inputs=inputs, parameters=parameters)
    compare = _comparison(given, options, named, length)
    return planning.plan(
        session,
        given,
        compare,
        backend,
        options,
        inputs=inputs,
        parameters=parameters,
        samples=max(1, 2 * len(compare.pairs)),
        gather=_standings(compare),
    )


judge_async = in_background(judge)


def _rating(given: planning.Source, options: JudgeOptions, column: str) -> Rate:
    """The task that rates the column's texts; raises UsageError for a scale that ends below its start."""
    low, high = options.scale
    if low >= high:
        raise UsageError(f"the scale {low}-{high} ends below its start.", hint="--scale 1-5")
    output = planning.output_name(given.frame, options, "rating")
    return Rate(column, options.criteria or "", output, low, high, options.context)


def _comparison(given: planning.Source, options: JudgeOptions, named: Sequence[str], length: int) -> Compare:
    """The task that compares a row's texts in pairs: those of the columns, or of lists up to ``length``.

    Raises UsageError for more candidates than ``MOST``.
    """
    count = length or len(named)
    if count > MOST:
        raise UsageError(
            f"{count} candidates a row make {count * (count - 1)} questions a row.",
            hint=f"Compare at most {MOST}, or rate them: --on COLUMN",
        )
    output = planning.output_name(given.frame, options, "best")
    return Compare(tuple(named), options.criteria or "", output, options.context, length)


def _longest_list(given: planning.Source, named: Sequence[str]) -> int:
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
    """The function that makes a row's verdicts into winner, ranking, points and the judge's consistency."""
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
