"""The plan of ``label``: choices, examples, confidence, promises, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Unpack

from llm_magics.backends.base import Backend
from llm_magics.core.errors import NotFound, UsageError
from llm_magics.core.types import Choice
from llm_magics.runs import planning
from llm_magics.runs.execution import execute
from llm_magics.runs.planning import DETERMINISTIC, Common
from llm_magics.runs.run import Plan, Run
from llm_magics.runs.session import Session, current
from llm_magics.runs.strategy import RunContext, Strategy, single_pass
from llm_magics.tasks.label import choices
from llm_magics.tasks.label.cascade.strategy import Agreement
from llm_magics.tasks.label.cascade.task import CascadeLabel
from llm_magics.tasks.label.corrections import calibrated
from llm_magics.tasks.label.evaluation.evaluation import require_known
from llm_magics.tasks.label.examples import NEAREST
from llm_magics.tasks.label.few_shot import has_examples, known_labels, looked_up, with_examples
from llm_magics.tasks.label.nearest_task import NearestLabel
from llm_magics.tasks.label.proposing import propose_labels
from llm_magics.tasks.label.task import RANDOM, Explain, Label
from llm_magics.tasks.label.votes import majority
from llm_magics.text.label_names import fold


@dataclass(frozen=True)
class Depth:
    """How far beyond the bare question a labelling goes.

    ``examples``: (text, label) pairs, or (frame, text column, label column); ``k`` of them are shown,
    each row's nearest with ``dynamic``. ``votes``: samples a row, the majority counts. ``calibrate``
    takes the model's bias off its chances, or with a column of true labels fits their temperature.
    ``agree``: the share of labels that a cheap labeller's must share with the model's, with the
    probability ``sure``. ``cheap``: the model of the embeddings, for ``dynamic`` and ``agree``; for
    ``agree`` also a small model that labels rows itself.
    """

    examples: Any = ()
    k: int | None = None
    dynamic: bool = False
    votes: int = 1
    calibrate: bool = False
    agree: float | None = None
    sure: float = 0.9
    cheap: str | None = None


_DEPTH = tuple(field.name for field in fields(Depth))
_LABEL_FIELDS = ("none", "explain", "scores", "wide", "guidance")


def label(
    data: Any,
    labels: Any = None,
    *,
    labels_from: str | None = None,
    multi: bool = False,
    max_labels: int | None = None,
    none: str | None = None,
    default: str | None = None,
    explain: Explain = False,
    scores: bool = False,
    wide: bool = False,
    truth: str | None = None,
    examples: Any = (),
    k: int | None = None,
    dynamic: bool = False,
    votes: int = 1,
    calibrate: bool = False,
    agree: float | None = None,
    sure: float = 0.9,
    cheap: str | None = None,
    propose: int | None = None,
    guidance: str = "",
    **options: Unpack[Common],
) -> Any:
    """Label each row's text with one of the labels (``multi``: with all that apply).

    Args:
        data: a DataFrame (pandas, polars, pyarrow), a Series or a list of texts.
        labels: a list of names, a mapping name -> description, ``name: description`` lines, or Choices.
        labels_from: a column that holds the labels to choose from.
        none: the name of a label for "none of these".
        default: what an unusable answer becomes: None (null), a label, or ``random`` (seeded).
        scores: a probability column per label; ``wide``: a true/false column per label.
        explain: a reason beside each label, thought of before it, or ``after``.
        truth: a column of true labels; the run is scored against it (``last.evaluation``).
        examples: (text, label) pairs, or (frame, text column, label column). ``k`` of them are shown
            (two a label), each row's ``k`` nearest (eight) with ``dynamic``.
        votes: samples a row; the majority is the label, its share the confidence.
        calibrate: correct the chances, by ``truth`` (a temperature) or by the model's own bias.
        agree: let a cheap labeller take the rows it is sure of, so that this share of all labels is
            the model's own with the probability ``sure``; ``label_by`` says who labelled a row.
        propose: without labels, let the model propose at most so many from a sample; they are printed.
        cheap: the embedding model of ``dynamic`` and ``agree``; else the one of the role embed. For
            ``agree`` also a small model that gives probabilities: it labels the rows itself.
        options: see ``plans.Common``.

    Returns the frame with the columns ``label``, ``label_confidence`` (where one is known),
    ``label_status`` and ``label_error``. A row without a usable answer is null, its reason beside it.
    Raises UsageError before anything is sent, BackendError where every row would fail alike.
    """
    session = current()
    return execute(
        session,
        plan_label(
            session,
            data,
            labels,
            labels_from=labels_from,
            multi=multi,
            max_labels=max_labels,
            none=none,
            default=default,
            explain=explain,
            scores=scores,
            wide=wide,
            truth=truth,
            examples=examples,
            k=k,
            dynamic=dynamic,
            votes=votes,
            calibrate=calibrate,
            agree=agree,
            sure=sure,
            cheap=cheap,
            propose=propose,
            guidance=guidance,
            **options,
        ),
        options,
    )


async def label_async(data: Any, labels: Any = None, **arguments: Any) -> Any:
    """``label`` for a running event loop: awaits the result, other cells and widgets stay live."""
    return await label(data, labels, **arguments, background=True)


def plan_label(
    session: Session,
    data: Any,
    labels: Any = None,
    *,
    labels_from: str | None = None,
    default: str | None = None,
    multi: bool = False,
    max_labels: int | None = None,
    truth: str | None = None,
    propose: int | None = None,
    **options: Any,
) -> Plan:
    """The plan of ``label``; takes what it takes."""
    own = {name: options.pop(name) for name in _LABEL_FIELDS if name in options}
    depth = Depth(**{name: options.pop(name) for name in _DEPTH if name in options})
    common: Common = options  # type: ignore[assignment]
    given = planning.source(data, common)
    if propose is not None:
        if labels is not None or labels_from is not None:
            raise UsageError(
                "--propose lets the model propose labels, and labels are given.",
                hint="Leave out one of them.",
            )
        labels = propose_labels(session, given, propose, own.get("guidance", ""), common)
    found = _choices(given, labels, labels_from)
    _check_none(found, own.get("none"))
    _check(given, own, depth, multi=multi, max_labels=max_labels, truth=truth)
    backend = planning.backend_for(session, common, "label", "schema" if own.get("explain") else "one_of")
    task = Label(
        choices=found,
        column=planning.text_column(given),
        output=_wide_name(common) if own.get("wide") else planning.output_name(given.frame, common, "label"),
        many=multi,
        max_choices=max_labels,
        seed=common.get("random_state", 0),
        **own,
    )
    task, work = _deepened(session, _with_default(task, default), depth, truth, backend)
    if truth is not None:
        true = given.frame.values(truth)
        require_known((true[row] for row in given.rows), task.labels.names, many=multi)
    return planning.plan(
        session,
        given,
        task,
        backend,
        common,
        inputs=(task.column,),
        parameters={} if depth.votes > 1 else DETERMINISTIC,
        categories={} if multi or own.get("wide") else {task.output: task.labels.names},
        truth=truth,
        labels=task.labels.names,
        samples=depth.votes,
        gather=majority(task) if depth.votes > 1 else None,
        strategy=work,
    )


def _check(
    given: planning.Source,
    own: Mapping[str, Any],
    depth: Depth,
    *,
    multi: bool,
    max_labels: int | None,
    truth: str | None,
) -> None:
    """What can't go together. Raises UsageError, NotFound."""
    several = multi or bool(own.get("wide"))
    if max_labels is not None and not multi:
        raise UsageError("--max-labels is for --multi.", hint="Add --multi.")
    if truth is not None:
        given.frame.require(truth)
        given.frame.require_whole("--truth")
        if own.get("wide"):
            raise UsageError("--truth scores the column of labels.", hint="Leave out --wide.")
    chosen = [
        name
        for name, is_chosen in (
            ("votes", depth.votes > 1),
            ("calibrate", depth.calibrate),
            ("agree", depth.agree is not None),
        )
        if is_chosen
    ]
    if several and chosen:
        hint = f"Leave out --{chosen[0]}, or --multi and --wide."
        raise UsageError(f"--{chosen[0]} is for one label a row.", hint=hint)
    if len(chosen) > 1:
        raise UsageError(f"--{chosen[0]} and --{chosen[1]} don't go together.", hint="Use one of them.")
    _check_depth(depth)


def _check_depth(depth: Depth) -> None:
    """No word of the line is without effect. Raises UsageError."""
    if not has_examples(depth.examples):
        hint = "--examples FRAME:text,label"
        if depth.dynamic:
            raise UsageError("--dynamic looks for the nearest examples, and there are none.", hint=hint)
        if depth.k is not None:
            raise UsageError("--k says how many examples are shown, and there are none.", hint=hint)
    if depth.agree is None and depth.sure != Depth.sure:
        raise UsageError("--sure is for --agree.", hint=f"--agree 0.9 --sure {depth.sure:g}")
    if depth.agree is None and not depth.dynamic and depth.cheap is not None:
        raise UsageError("--with is for --agree and --dynamic.", hint="The model itself is named by -m.")


def _check_none(found: Sequence[Choice], none: str | None) -> None:
    """The label for "none of these" is one of the labels, or one more that can be told from them."""
    if none is None:
        return
    if not none.strip():
        raise UsageError("--none names a label; it can't be blank.", hint="--none other")
    twin = next((c.name for c in found if c.name != none and fold(c.name) == fold(none)), None)
    if twin is not None:
        raise UsageError(
            f"--none {none!r} and the label {twin!r} can't be told apart in an answer.",
            hint=f"--none {twin!r} says that this label is the one.",
        )


def _wide_name(options: Common) -> str:
    """What the columns of the labels begin with; a word and a label's name are kept apart."""
    name = options.get("output") or "is_"
    return f"{name}_" if name[-1].isalnum() else name


def _choices(given: planning.Source, labels: Any, labels_from: str | None) -> tuple[Choice, ...]:
    if labels is not None and labels_from is not None:
        raise UsageError("labels were given twice.", hint="Use a body, --labels or --labels-from.")
    if labels_from is not None:
        return choices.choices(choices.distinct(given.frame.values(labels_from)))
    if labels is None:
        raise UsageError(
            "labels are missing.",
            hint='A body of "name: description" lines, --labels a,b, --labels-from COLUMN, or --propose 8.',
        )
    return choices.choices(labels)


def _with_default(task: Label, default: str | None) -> Label:
    if default in (None, "null"):
        return task
    if default != RANDOM and default not in task.labels.names:
        raise NotFound.among(
            "label", str(default), task.labels.names, hint="--default takes null, random or a label."
        )
    return replace(task, default_label=default)


def _deepened(
    session: Session, task: Label, depth: Depth, truth: str | None, backend: Backend
) -> tuple[Label, Strategy | None]:
    """The task with its examples, and how it is carried out where one pass is not all of it."""
    examples = known_labels(depth.examples, task) if has_examples(depth.examples) else None
    if examples is not None:
        task = with_examples(task, examples, depth.k, backend)
    if depth.dynamic and examples is not None and backend.capabilities.text:
        if depth.agree is not None:
            raise UsageError("--dynamic and --agree don't go together.", hint="Use one of them.")
        near = _as(NearestLabel, task)
        return near, looked_up(near, examples, depth.k or NEAREST, _embedder(session, depth))
    if depth.dynamic and examples is not None:
        return task, _saying(f"--dynamic: {backend.name} reads no prompts; it learns from all the examples")
    if depth.agree is not None:
        return _as(CascadeLabel, task, model=backend.name), _agreement(session, depth, backend).strategy()
    if depth.calibrate:
        task = replace(task, scores=True)
        return task, calibrated(task, truth)
    return task, None


def _saying(note: str) -> Strategy:
    """One plain pass, with a sentence under its result."""

    async def carry_out(context: RunContext, run: Run) -> None:
        run.notes.setdefault(note)
        await single_pass(context, run)

    return carry_out


def _agreement(session: Session, depth: Depth, backend: Backend) -> Agreement:
    """The promise, with who is to stand in for the model: a small model, or embeddings."""
    assert depth.agree is not None
    if depth.cheap is None:
        return Agreement(depth.agree, _embedder(session, depth), depth.sure)
    cheap = session.backend(depth.cheap, "label")
    if not cheap.capabilities.text:
        return Agreement(depth.agree, _embedder(session, depth), depth.sure)
    if (cheap.name, cheap.base_url) == (backend.name, backend.base_url):
        raise UsageError(
            f"--with {depth.cheap}: that is the model itself.",
            hint="Name a cheaper model, or embeddings: --with embedded::wordllama",
        )
    return Agreement(depth.agree, cheap, depth.sure, planning.target(cheap, {}, DETERMINISTIC))


def _as(kind: type[Any], task: Label, **more: Any) -> Any:
    return kind(**{field.name: getattr(task, field.name) for field in fields(Label)}, **more)


def _embedder(session: Session, depth: Depth) -> Backend:
    options: Common = {"model": depth.cheap} if depth.cheap else {}
    return planning.backend_for(session, options, "embed", "vector")
