"""Who labels the rows: the model alone or together with others, and what is taken off its label scores.

A small local model has a prior, and models whose probabilities of all labels are known lose their bias,
wherever there are such probabilities. Where an option leaves none, the estimate and the footer say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from llm_magics.backends.base import Backend
from llm_magics.backends.committee.client import CommitteeBackend
from llm_magics.backends.similarity.calibration import UNRELATED_TEXTS
from llm_magics.core.errors import UsageError
from llm_magics.core.types import FREE
from llm_magics.engine.task import Target
from llm_magics.options.run_options import RunOptions
from llm_magics.runs import planning
from llm_magics.runs.planning import DETERMINISTIC, Source
from llm_magics.runs.session import Session
from llm_magics.settings.config import embedded_default
from llm_magics.tasks.label.bias.removal import BiasRemoval
from llm_magics.tasks.label.calibration import ContentFree
from llm_magics.tasks.label.committee import (
    NO_PRIOR,
    Committee,
    CommitteeMember,
    Prepare,
    has_default_prior,
    require_scores,
)
from llm_magics.tasks.label.few_shot import has_examples, read_examples, with_examples
from llm_magics.tasks.label.options import LabelOptions
from llm_magics.tasks.label.task import Label

ON_REQUEST = frozenset({"gemini", "vertex"})
"""Namespaces whose log-probabilities are limited a day, so that only ``--scores`` asks for them."""


@dataclass(frozen=True)
class Labellers:
    """The model that the user named with its task, and what labels beside it.

    ``prepare`` corrects the scores of a model that labels alone. ``notes`` are sentences for the estimate
    and the footer; ``outlook`` are those of the estimate alone, since the run tells the numbers.
    """

    backend: Backend
    task: Label
    committee: Committee | None = None
    prepare: Prepare | None = None
    notes: tuple[str, ...] = ()
    outlook: tuple[str, ...] = ()
    target: Target | None = None


def labellers(
    session: Session, given: Source, options: LabelOptions, backend: Backend, plain: Label, task: Label
) -> Labellers:
    """Who labels: ``plain`` is the task without examples, ``task`` as the model is asked.

    Raises UsageError for a ``prior`` where no label scores can be added.
    """
    members = _members(session, given, options, backend, plain, task)
    prepare = None if members else correction(given, task, options, backend)
    notes = filter(None, (_alone(options, backend), _without_confidence(options, backend, task)))
    outlook = [_together(members, backend)] if members else []
    removals = [each for each in (prepare, *(member.prepare for member in members)) if _removes_bias(each)]
    if removals:
        outlook.append("The model's bias is removed from its label probabilities; --raw leaves it in.")
        if backend.completes or backend.begins:
            outlook.append(
                "Its labels are listed in this order or in reverse, as it knows their names better."
            )
    elif options.both_orders:
        raise UsageError(
            "--both-orders averages a model's probabilities of all labels, and there are none here.",
            hint="Use a local model (gguf::, transformers::), without --raw, --multi and --explain.",
        )
    committee = Committee(tuple(members)) if members else None
    return Labellers(backend, task, committee, prepare, tuple(notes), tuple(filter(None, outlook)))


def _removes_bias(prepare: Prepare | None) -> bool:
    return isinstance(prepare, BiasRemoval)


def proxy(
    session: Session, given: Source, options: LabelOptions, backend: Backend, plain: Label, task: Label
) -> Labellers:
    """A small model as the proxy of a cascade: asked for probabilities, with its own default prior.

    No reason and no default label, whatever else is asked of the model that it stands for.
    """
    task = replace(task, scores=True, explain=False, default_label=None)
    own = replace(options, explain=False, prior=None, votes=1, calibrate=False, both_orders=False)
    found = labellers(session, given, own, backend, replace(plain, explain=False), task)
    return replace(found, target=planning.target(backend, RunOptions(), DETERMINISTIC))


def scoreless(options: LabelOptions, backend: Backend) -> str:
    """The option that leaves no probabilities of all labels, as it is typed; empty without one."""
    chosen = {
        "--multi": options.multi,
        "--explain": bool(options.explain),
        "--votes": options.votes > 1 and not backend.capabilities.exact_scores,
        "--rows-per-request": (options.rows_per_request or 1) > 1,
    }
    return next((name for name, is_chosen in chosen.items() if is_chosen), "")


def correction(
    given: Source, task: Label, options: LabelOptions, backend: Backend, *, together: bool = False
) -> Prepare | None:
    """What corrects the label scores of a model, where it gives some over all labels.

    The partitions of a dask frame never see each other: the bias of a free model is estimated from the same
    sentences in each of them, and a paid model keeps its bias.
    """
    if options.calibrate and options.truth is None:
        return ContentFree(task)
    scored = backend.capabilities.text and (backend.capabilities.exact_scores or task.scores)
    if options.raw or not scored or scoreless(options, backend):
        return None
    parted = given.frame.dask_frame is not None
    if parted and backend.price != FREE:
        return None
    return BiasRemoval(task, UNRELATED_TEXTS if parted else (), options.both_orders, together)


def _members(
    session: Session, given: Source, options: LabelOptions, backend: Backend, plain: Label, task: Label
) -> list[CommitteeMember]:
    """The members that decide together, the model that the user named last; none where it decides alone."""
    named = _named(options, backend)
    apart = scoreless(options, backend)
    together = isinstance(backend, CommitteeBackend)
    if apart and (named or (together and apart != "--votes")):
        what = "--prior" if named else f"The committee {backend.name}"
        hint = f"Leave out {apart}, or let one labeller label: -m {embedded_default()}"
        raise UsageError(f"{what} and {apart} don't go together: {_WHY[apart]}.", hint=hint)
    if isinstance(backend, CommitteeBackend):
        found = [] if apart else list(enumerate(backend.backends))
        return [_member(given, plain, options, each, place) for place, each in found]
    if given.frame.dask_frame is not None and not all(isinstance(name, str) for name in named):
        raise UsageError(
            "a dask frame takes a prior by its name: other processes have to find it.",
            hint="Register it: %llm_config add NAME, then --prior NAME",
        )
    priors = {name: session.backend(name, "label") for name in dict.fromkeys(named)}
    for prior in priors.values():
        require_scores(prior)
        if (prior.name, prior.base_url) == (backend.name, backend.base_url):
            raise UsageError(
                f"--prior {prior.name}: that is the model itself.", hint="Name another labeller."
            )
    if not priors:
        return []
    prepare = correction(given, task, options, backend, together=True)
    main = CommitteeMember(backend, task, None, required=True, prepare=prepare)
    return [*(_member(given, plain, options, each, str(name)) for name, each in priors.items()), main]


def _named(options: LabelOptions, backend: Backend) -> list[str | Backend]:
    """The priors that were named, or the default one of a small local model. Raises UsageError."""
    given_one = isinstance(options.prior, str | Backend)
    named = [options.prior] if given_one else list(options.prior or ())
    if NO_PRIOR in named:
        if len(named) > 1:
            raise UsageError("--prior none leaves the model alone; it takes no names.", hint="--prior none")
        return []
    if named and isinstance(backend, CommitteeBackend):
        raise UsageError(f"{backend.name} is a committee already.", hint="Add the labeller to its members.")
    if named or options.raw or scoreless(options, backend) or not has_default_prior(backend):
        return named
    return [embedded_default()]


def _member(
    given: Source, plain: Label, options: LabelOptions, backend: Backend, name: str | int
) -> CommitteeMember:
    """A further member with the task in its own form: examples go into prompts, or teach the similarity."""
    task = plain
    if has_examples(options.examples):
        task = with_examples(task, read_examples(options.examples, task), options.k, backend)
    task = replace(task, scores=task.scores or backend.capabilities.text, default_label=None)
    reads = backend.capabilities.text
    prepare = correction(given, task, options, backend, together=True) if reads else None
    return CommitteeMember(
        backend, task, planning.target(backend, RunOptions(), DETERMINISTIC), False, prepare, name
    )


def _together(members: Sequence[CommitteeMember], backend: Backend) -> str:
    """Who is asked beside the model, and about which rows it is asked itself."""
    if isinstance(backend, CommitteeBackend):
        return ""
    others = " and ".join(each.backend.name for each in members if not each.required)
    return (
        f"Labelled together with {others}; {backend.name} is asked about the rows of which "
        f"{'that is' if len(members) == 2 else 'those are'} unsure (--prior none: about all of them)."
    )


def _alone(options: LabelOptions, backend: Backend) -> str:
    """That the model labels with its bias, and without the prior it would have; empty where it doesn't."""
    apart = scoreless(options, backend)
    can = backend.capabilities
    if not apart or options.raw or not can.text or not (can.exact_scores or options.scores):
        return ""
    prior = has_default_prior(backend) and options.prior is None
    without = f"without its prior {embedded_default()}, " if prior else ""
    said = f"{apart}: {backend.name} labels {without}with its bias left in: {_WHY[apart]}."
    if apart != "--multi" or not has_default_prior(backend):
        return said
    return f"{said} Small models hardly tell which of several labels apply; {embedded_default()} does better."


_WHY = {
    "--multi": "each label is a question of its own, whose scores can't be set against the others'",
    "--explain": "a label with a reason is written, and comes without probabilities of all labels",
    "--votes": "votes are counted, not added as probabilities",
    "--rows-per-request": "an answer about several rows has no probabilities of their labels",
}


def _without_confidence(options: LabelOptions, backend: Backend, task: Label) -> str:
    """How to get probabilities from a host that gives them on request only."""
    wanted = task.scores or options.multi or options.explain or options.votes > 1
    if backend.namespace not in ON_REQUEST or wanted or not backend.capabilities.text:
        return ""
    return (
        f"{backend.name} gives label probabilities on request only, because its API limits how many calls "
        "a day may ask for them: --scores adds them, with label_confidence and bias removal."
    )
