"""``label``: its options checked and made into a plan, before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from llm_magics.backends.base import Backend
from llm_magics.core.errors import NotFound, UsageError
from llm_magics.core.prompt_formats import BEGUN, COMPLETION
from llm_magics.core.types import Choice
from llm_magics.options.run_options import RunOptions
from llm_magics.runs import planning
from llm_magics.runs.functions import in_background, run_function
from llm_magics.runs.passes import Strategy
from llm_magics.runs.planning import DETERMINISTIC
from llm_magics.runs.run import Plan, Run
from llm_magics.runs.session import Session
from llm_magics.tasks.label import definitions
from llm_magics.tasks.label.calibration import calibration_strategy
from llm_magics.tasks.label.cascade.strategy import CascadeSettings
from llm_magics.tasks.label.committee import as_committee_label
from llm_magics.tasks.label.evaluation.evaluation import evaluate, require_known
from llm_magics.tasks.label.examples import NEAREST, Gold
from llm_magics.tasks.label.few_shot import has_examples, nearest_examples, read_examples, with_examples
from llm_magics.tasks.label.labellers import Labellers, labellers, proxy
from llm_magics.tasks.label.options import LabelOptions
from llm_magics.tasks.label.proposals import propose_labels
from llm_magics.tasks.label.task import RANDOM, CascadeLabel, Label, NearestLabel
from llm_magics.tasks.label.votes import majority
from llm_magics.text.label_names import fold_name, label_name


@run_function(LabelOptions)
def label(session: Session, options: LabelOptions) -> Plan:
    """Label each row's text with one of the labels (with ``multi``: with all that apply).

    Returns the frame with the columns ``label``, ``label_confidence`` (where one is known),
    ``label_status`` and ``label_error``. A row without a usable answer is null, its reason beside it.
    ``examples`` are (text, label) pairs, or (frame, text column, label column). Raises UsageError before
    anything is sent, BackendError where every row would fail alike.
    """
    given = planning.source(options)
    found, values = _choices(session, given, options)
    _check(given, options)
    backend = planning.backend_for(session, options, "label", "schema" if options.explain else "one_of")
    wide = options.wide
    task = Label(
        choices=found,
        column=planning.text_column(given),
        output=_wide_name(options) if wide else planning.output_name(given.frame, options, "label"),
        many=options.multi,
        max_choices=options.max_labels,
        seed=options.random_state,
        none=options.none,
        explain=options.explain,
        scores=options.scores,
        wide=wide,
        guidance=options.guidance,
        values=values,
    )
    task = _with_default(task, options.default)
    asked, near = _with_examples(task, options, backend)
    who = labellers(session, given, options, backend, task, asked)
    strategy = _strategy(session, given, task, who, near, options)
    task = _with_column(who, options)
    votes = 1 if backend.capabilities.exact_scores else options.votes
    _check_truth(given, task, options)
    single = not options.multi and not wide
    written = options.multi or bool(options.explain)
    return planning.plan(
        session,
        given,
        task,
        backend,
        options,
        inputs=(task.column,),
        parameters={} if votes > 1 else DETERMINISTIC,
        categories={task.output: [values.get(n, n) for n in task.labels.names]} if single else {},
        kinds=_kinds(task) if single else {},
        originals={} if wide or not values else {task.output: values},
        truth=options.truth,
        labels=task.labels.names,
        samples=votes,
        gather=majority(task.output, task.labels.names) if votes > 1 else None,
        strategy=strategy,
        asker=who.committee,
        prepare=who.prepare,
        notes=_notes(who, near, options),
        outlook=who.outlook,
        text_format="" if written else COMPLETION,
        chat_format="" if written else BEGUN,
        evaluate=_evaluated if options.truth is not None else None,
    )


label_async = in_background(label)


def _evaluated(run: Run) -> Any:
    """The evaluation of a finished run's labels against the column of true ones."""
    plan, columns = run.plan, run.row_columns
    truth, predicted = plan.frame.values(str(plan.truth)), columns[plan.output]
    chances = columns.get(f"{plan.output}_confidence")
    confidence = None if chances is None else [chances[position] for position in plan.rows]
    return evaluate(
        [truth[position] for position in plan.rows],
        [predicted[position] for position in plan.rows],
        plan.labels,
        confidence,
    )


def _check_truth(given: planning.Source, task: Label, options: LabelOptions) -> None:
    """Refuse a column of true labels that holds others than the task's. Raises UsageError."""
    if options.truth is not None:
        true = given.frame.values(options.truth)
        require_known((true[row] for row in given.rows), task.labels.names, many=options.multi)


def _check(given: planning.Source, options: LabelOptions) -> None:
    """Refuse options that don't go together. Raises UsageError, NotFound."""
    several = options.multi or options.wide
    if options.max_labels is not None and not options.multi:
        raise UsageError("--max-labels is for --multi.", hint="Add --multi.")
    if options.truth is not None:
        given.frame.require(options.truth)
        given.frame.require_whole("--truth")
        if options.wide:
            raise UsageError("--truth scores the column of labels.", hint="Leave out --wide.")
    chosen = [
        name
        for name, is_chosen in (
            ("votes", options.votes > 1),
            ("calibrate", options.calibrate),
            ("agree", options.agree is not None),
        )
        if is_chosen
    ]
    if several and chosen:
        hint = f"Leave out --{chosen[0]}, or --multi and --wide."
        raise UsageError(f"--{chosen[0]} is for one label a row.", hint=hint)
    if len(chosen) > 1:
        raise UsageError(f"--{chosen[0]} and --{chosen[1]} don't go together.", hint="Use one of them.")
    _refuse_without_effect(options)


def _refuse_without_effect(options: LabelOptions) -> None:
    """Refuse an option that would change nothing. Raises UsageError."""
    if not has_examples(options.examples):
        hint = "--examples FRAME:text,label"
        if options.dynamic:
            raise UsageError("--dynamic looks for the nearest examples, and there are none.", hint=hint)
        if options.k is not None:
            raise UsageError("--k says how many examples are shown, and there are none.", hint=hint)
    if options.agree is None and options.sure != LabelOptions.sure:
        raise UsageError("--sure is for --agree.", hint=f"--agree 0.9 --sure {options.sure:g}")
    if options.agree is None and not options.dynamic and options.cheap is not None:
        raise UsageError("--with is for --agree and --dynamic.", hint="The model itself is named by -m.")


def _check_none(found: Sequence[Choice], none: str | None) -> None:
    """Raises UsageError where the label for "none of these" can't be told from another label."""
    if none is None:
        return
    if not none.strip():
        raise UsageError("--none names a label; it can't be blank.", hint="--none other")
    twin = next((c.name for c in found if c.name != none and fold_name(c.name) == fold_name(none)), None)
    if twin is not None:
        raise UsageError(
            f"--none {none!r} and the label {twin!r} can't be told apart in an answer.",
            hint=f"--none {twin!r} says that this label is the one.",
        )


def _wide_name(options: LabelOptions) -> str:
    """The prefix of the label columns, separated from the label's name."""
    name = options.output or "is_"
    return f"{name}_" if name[-1].isalnum() else name


def _kinds(task: Label) -> dict[str, str]:
    """The type of the column of labels, where all of them are numbers or truth values of one type."""
    types = {type(task.values.get(name, name)) for name in task.labels.names}
    kind = types.pop().__name__ if len(types) == 1 else ""
    return {task.output: kind} if kind in ("int", "float", "bool") else {}


def _choices(
    session: Session, given: planning.Source, options: LabelOptions
) -> tuple[tuple[Choice, ...], dict[str, Any]]:
    """The labels to choose from, and the numbers among them by name.

    They are those given, those of a column, or those the model proposes. In frames whose columns have one
    type, labels of several types are texts.
    """
    labels, column = options.labels, options.labels_from
    if options.propose is not None:
        if labels is not None or column is not None:
            raise UsageError(
                "--propose lets the model propose labels, and labels are given.",
                hint="Leave out one of them.",
            )
        labels = propose_labels(session, given, options.propose, options)
    if labels is not None and column is not None:
        raise UsageError("labels were given twice.", hint="Use a body, --labels or --labels-from.")
    if labels is None and column is None:
        raise UsageError(
            "labels are missing.",
            hint='A body of "name: description" lines, --labels a,b, --labels-from COLUMN, or --propose 8.',
        )
    if column is not None:
        labels = definitions.distinct(given.frame.values(column))
    labels = labels if isinstance(labels, str | Mapping) or not isinstance(labels, Iterable) else list(labels)
    found, values = definitions.choices(labels), definitions.typed_values(labels)
    _check_none(found, options.none)
    whole = len(values) == len(found) and options.none in (None, *values)
    one_type = len({type(value) for value in values.values()}) == 1
    mixed = not (whole and one_type) and not given.frame.holds_mixed
    return found, {} if mixed else values


def _with_default(task: Label, default: str | None) -> Label:
    if default in (None, "null"):
        return task
    default = label_name(default, task.labels.names)
    if default != RANDOM and default not in task.labels.names:
        raise NotFound.among(
            "label", str(default), task.labels.names, hint="--default takes null, random or a label."
        )
    return replace(task, default_label=default)


def _with_examples(task: Label, options: LabelOptions, backend: Backend) -> tuple[Label, Gold | None]:
    """The task as the model is asked, with its examples; and those that are looked up by a row's text."""
    task = replace(task, scores=True) if options.calibrate else task
    if not has_examples(options.examples):
        return task, None
    examples = read_examples(options.examples, task)
    task = with_examples(task, examples, options.k, backend)
    if not options.dynamic or not backend.capabilities.text:
        return task, None
    if options.agree is not None:
        raise UsageError("--dynamic and --agree don't go together.", hint="Use one of them.")
    return _as(NearestLabel, task), examples


def _strategy(
    session: Session,
    given: planning.Source,
    task: Label,
    who: Labellers,
    near: Gold | None,
    options: LabelOptions,
) -> Strategy | None:
    """What takes more than one pass: looking up examples, the cascade, fitting a temperature."""
    if near is not None:
        assert isinstance(who.task, NearestLabel)
        return nearest_examples(who.task, near, options.k or NEAREST, _embedder(session, options))
    if options.agree is not None:
        return _agreement(session, given, task, who, options, options.agree).strategy()
    if options.calibrate and options.truth is not None:
        return calibration_strategy(who.task, options.truth)
    return None


def _with_column(who: Labellers, options: LabelOptions) -> Label:
    """The task with the column that names who decided a row, where there is more than one."""
    if options.agree is not None:
        cascade: Label = _as(CascadeLabel, who.task, model=who.backend.name)
        return cascade
    return who.task if who.committee is None else as_committee_label(who.task)


def _notes(who: Labellers, near: Gold | None, options: LabelOptions) -> tuple[str, ...]:
    """Sentences about options that work otherwise with this model than one might think."""
    can, name = who.backend.capabilities, who.backend.name
    more = []
    if options.dynamic and near is None:
        more.append(f"--dynamic: {name} reads no prompts; it learns from all the examples")
    if options.votes > 1 and can.exact_scores:
        more.append(
            f"--votes: {name} computes the probability of every label, and {options.votes} answers would "
            "be the same; one was computed for each row, with its probability as confidence"
        )
    return (*more, *who.notes)


def _agreement(
    session: Session,
    given: planning.Source,
    task: Label,
    who: Labellers,
    options: LabelOptions,
    share: float,
) -> CascadeSettings:
    """The settings of the cascade: the guarantee, and the proxy model (a small model, or embeddings)."""
    if options.cheap is None:
        return CascadeSettings(share, _embedder(session, options), options.sure)
    cheap = session.backend(options.cheap, "label")
    if not cheap.capabilities.text:
        return CascadeSettings(share, _embedder(session, options), options.sure)
    if (cheap.name, cheap.base_url) == (who.backend.name, who.backend.base_url):
        raise UsageError(
            f"--with {options.cheap}: that is the model itself.",
            hint="Name a cheaper model, or embeddings: --with embedded::wordllama",
        )
    made = proxy(session, given, options, cheap, task, who.task)
    return CascadeSettings(share, cheap, options.sure, made)


def _as(kind: type[Any], task: Label, **more: Any) -> Any:
    """The task as a subclass of ``Label``, with the subclass's own fields."""
    return kind(**{field.name: getattr(task, field.name) for field in fields(Label)}, **more)


def _embedder(session: Session, options: LabelOptions) -> Backend:
    """The embedding model of ``--with``, else the one that ``concepts`` takes, too."""
    if options.cheap is None:
        return planning.embedder(session)
    return planning.backend_for(session, RunOptions(model=options.cheap), "embed", "vector")
