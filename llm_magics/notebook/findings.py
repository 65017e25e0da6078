"""The subcommands that turn labels into findings: sample, measure, agreement, codebook."""

from __future__ import annotations

import contextlib
from typing import Any

from llm_magics.core.errors import LLMError, NotFound, UsageError
from llm_magics.notebook.cell import Cell
from llm_magics.notebook.namespace import check_result_name
from llm_magics.options.option import given
from llm_magics.options.values import names
from llm_magics.runs.session import Session
from llm_magics.tasks.agreement.agreement import agreed
from llm_magics.tasks.agreement.options import AgreementOptions
from llm_magics.tasks.codebook.codebook import open_codebook
from llm_magics.tasks.measure.measure import measured
from llm_magics.tasks.measure.options import MeasureOptions
from llm_magics.tasks.sample.options import SampleOptions
from llm_magics.tasks.sample.sample import drawn


def sample(cell: Cell) -> Any:
    """The review of the drawn rows; ``-o`` binds the frame, whose gold labels follow the review."""
    into = check_result_name(cell.flags.into)
    data, variable, column = cell.space.data(cell.flags.data)
    asked = dict(given(SampleOptions, vars(cell.flags)))
    made = drawn(cell.session, SampleOptions(data=data, column=column, name=variable, **asked))
    made.review.interactive = cell.live
    if into is not None:
        cell.space.bind(into, made.df)
        made.changed = lambda frame: cell.space.bind(into, frame)
    return made


def measure(cell: Cell) -> Any:
    """The corrected shares of ``FRAME.COLUMN``; ``attrs["figure"]`` has their picture."""
    into = check_result_name(cell.flags.into)
    data, variable, column = cell.space.data(cell.flags.data)
    asked = dict(given(MeasureOptions, vars(cell.flags)))
    found = measured(MeasureOptions(data=data, column=column, name=variable, **asked))
    found.attrs["figure"] = found.plot()
    if into is not None:
        cell.space.bind(into, found)
    return found


def agreement(cell: Cell) -> Any:
    """How far the columns of a frame agree."""
    into = check_result_name(cell.flags.into)
    if not cell.flags.columns:
        raise UsageError("agreement of which columns?", hint="%llm agreement DATA topic,anna,ben")
    data, variable, _ = cell.space.data(cell.flags.data)
    asked = dict(given(AgreementOptions, vars(cell.flags)))
    columns = names(cell.flags.columns)
    found = agreed(AgreementOptions(data=data, columns=columns, name=variable, **asked))
    if into is not None:
        cell.space.bind(into, found)
    return found


_VERBS = {"show": 0, "diff": 2, "improve": 0, "use": 1, "save": 1}
"""The verbs of ``codebook``, and how many words each takes."""


def codebook(cell: Cell) -> Any:
    """The codebook itself, or what a verb gives."""
    flags = cell.flags
    into = check_result_name(flags.into)
    verb, *words = flags.words or ["show"]
    if verb not in _VERBS:
        raise NotFound.among("verb of codebook", verb, _VERBS)
    if len(words) != _VERBS[verb]:
        raise UsageError(
            f"codebook {verb} takes {_VERBS[verb]} words, and has {len(words)}.",
            hint="%llm codebook show | diff A B | improve | use V | save FILE",
        )
    book = open_codebook(cell.session, flags.book)
    if into is not None:
        cell.space.bind(into, book)
    if verb == "diff":
        return book.diff(*map(_number, words))
    if verb == "use":
        return book.use(_number(words[0]))
    if verb == "save":
        print(f"{len(book.versions):,} versions written to {book.save(words[0])}")
        return None
    if verb == "improve":
        return book.improve(model=flags.model, folds=flags.folds, yes=flags.yes)
    return book


def _number(word: str) -> int:
    if not word.isdecimal():
        raise UsageError(f"{word!r} is no version's number.", hint="%llm codebook shows them.")
    return int(word)


def note_codebooks(session: Session) -> None:
    """Let every label run of the session know its codebook's version, where one can be stored."""
    for name in {run.plan.output for run in session.runs if run.plan.task.name == "label"}:
        with contextlib.suppress(LLMError):
            open_codebook(session, name)
