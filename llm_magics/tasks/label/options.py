"""The options of ``label``, and how a cell's body and line give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from llm_magics.core.errors import NotFound, UsageError
from llm_magics.core.types import Choice
from llm_magics.options.cell import CellInput
from llm_magics.options.option import option, options_record
from llm_magics.options.run_options import RowOptions
from llm_magics.options.values import count, names


@options_record
class LabelOptions(RowOptions):
    """What ``label`` takes."""

    labels: Any = option(
        "the labels: a list, a mapping name -> description, or (in a cell) the body",
        default=None,
        metavar="A,B",
        parse=names,
        kw_only=False,
    )
    labels_from: str | None = option(
        "labels from a column (in a cell also from a variable)", default=None, metavar="COL|VAR"
    )
    propose: int | None = option(
        "let the model propose at most N labels first", default=None, metavar="N", parse=count
    )
    multi: bool = option("all labels that apply", default=False)
    max_labels: int | None = option("at most K labels a row", default=None, metavar="K", parse=count)
    none: str | None = option('a label for "none of these"', default=None, metavar="NAME")
    default: str | None = option(
        "what an unusable answer becomes (default null)", default=None, metavar="null|NAME|random"
    )
    explain: bool | Literal["after"] = option("a reason beside each label", default=False)
    explain_after: bool = option("the label first, then its reason", default=False, python=False)
    scores: bool = option("a probability column per label", default=False)
    wide: bool = option("a true/false column per label", default=False)
    truth: str | None = option(
        "a column of true labels: accuracy, F1, confusion", default=None, metavar="COL"
    )
    examples: Any = option("labelled rows to show in the prompt", default=(), metavar="FRAME:TEXT,LABEL")
    k: int | None = option(
        "how many (default: 2 a label; 8 with --dynamic)", default=None, metavar="N", parse=count
    )
    dynamic: bool = option("each row's nearest examples, by embeddings", default=False)
    votes: int = option("N samples a row; the majority is the label", default=1, metavar="N", parse=count)
    raw: bool = option("the model's own scores: bias left in, no default --prior", default=False)
    both_orders: bool = option(
        "unsure rows also with the labels in reverse order: both are averaged (local models)", default=False
    )
    prior: Any = option(
        "labellers whose label scores are added to the model's (small local models: the embedded default)",
        default=None,
        metavar="NAME[,NAME]|none",
        parse=names,
    )
    calibrate: bool = option(
        "correct the probabilities by a temperature fitted on --truth, or by the bias", default=False
    )
    agree: float | None = option(
        "let a cheap labeller take the sure rows", default=None, metavar="SHARE", parse=float
    )
    sure: float = option("how sure --agree has to be (default 0.9)", default=0.9, metavar="P", parse=float)
    cheap: str | None = option(
        "embedding model of --dynamic and --agree; for --agree also a small model",
        default=None,
        flags="--with",
        metavar="MODEL",
    )
    guidance: str = option("what to tell the model beyond the labels", default="", flags="")


def read_cell(cell: CellInput, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a ``label`` cell: ``given`` by its flags, the labels also by its body.

    Raises UsageError, NotFound.
    """
    flags = cell.flags
    if flags.explain and flags.explain_after:
        raise UsageError("--explain and --explain-after don't go together.", hint="Use one of them.")
    read = {**_labels(cell), **{k: v for k, v in given.items() if k not in ("labels", "labels_from")}}
    if flags.explain_after:
        read["explain"] = "after"
    if flags.examples:
        read["examples"] = _examples(cell, flags.examples)
    return read


def _examples(cell: CellInput, text: str) -> Any:
    """``FRAME:text,label`` as the frame and its two columns."""
    from llm_magics.tasks.label.few_shot import ExamplesFrom

    name, _, columns = text.partition(":")
    pair = [column.strip() for column in columns.split(",")]
    if len(pair) != 2 or not all(pair):
        raise UsageError(
            f"--examples {text!r} can't be read.", hint="--examples FRAME:TEXT_COLUMN,LABEL_COLUMN"
        )
    data, variable, _ = cell.space.data(name)
    return ExamplesFrom(data, pair[0], pair[1], variable)


def _labels(cell: CellInput) -> dict[str, Any]:
    """Labels from exactly one of body, ``--labels`` and ``--labels-from``."""
    from llm_magics.tasks.label.definitions import parse_choices

    flags = cell.flags
    ways = [bool(cell.body.strip()), flags.labels is not None, flags.labels_from is not None]
    if sum(ways) > 1:
        raise UsageError("labels were given more than once.", hint="Use the body, --labels or --labels-from.")
    if flags.labels is not None:
        _refuse_variable(cell, flags.labels)
        return {"labels": flags.labels}
    if flags.labels_from is None:
        return {"labels": _simplest(parse_choices(cell.body))} if ways[0] else {}
    return _labels_from(cell, flags.labels_from)


def _refuse_variable(cell: CellInput, labels: list[str]) -> None:
    """Raises UsageError for a single label that is the name of a variable or a column."""
    if len(labels) == 1 and labels[0] in (*cell.space.names(), *_columns(cell)):
        raise UsageError(
            f"--labels takes the labels themselves, and {labels[0]!r} holds some.",
            hint=f"Type --labels-from {labels[0]}",
        )


def _columns(cell: CellInput) -> list[str]:
    from llm_magics.data import frames

    data, variable, _ = cell.space.data(cell.flags.data, cell.flags.on)
    return frames.read_partitioned(data, variable)[0].columns


def _labels_from(cell: CellInput, name: str) -> dict[str, Any]:
    """The labels of a column of the data, else of a variable: a list, a mapping, a set, a Series.

    Raises NotFound where it is neither, UsageError for another kind of variable.
    """
    from llm_magics.data import frames
    from llm_magics.tasks.label.definitions import distinct

    columns, variables = _columns(cell), cell.space.variables
    if name in columns:
        return {"labels_from": name}
    if name not in variables:
        raise NotFound.among("column or variable", name, [*columns, *cell.space.frames()])
    value = variables[name]
    if isinstance(value, list | tuple | Mapping):
        return {"labels": value}
    if isinstance(value, set | frozenset):
        return {"labels": sorted(value, key=str)}
    frame, column = frames.read(value, name)
    if frame.from_dataframe or column is None:
        raise UsageError(
            f"{name} is a whole frame.", hint=f"Labels from one column of it: {name}_labels = {name}[...]"
        )
    return {"labels": distinct(frame.values(column))}


def _simplest(found: tuple[Choice, ...]) -> Any:
    """The choices in the simplest form that means the same in code."""
    if any(choice.examples or choice.counterexamples for choice in found):
        return list(found)
    if any(choice.description for choice in found):
        return {choice.name: choice.description for choice in found}
    return [choice.name for choice in found]
