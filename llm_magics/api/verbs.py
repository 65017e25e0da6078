"""The same from Python: DataFrame in, DataFrame out. Here, and only here, everything is wired."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from llm_magics import prompts
from llm_magics.api import plans
from llm_magics.api.chatting import answer_of, listened
from llm_magics.api.execution import execute
from llm_magics.api.labelling import plan_label
from llm_magics.api.plans import Common
from llm_magics.api.run import Plan
from llm_magics.api.session import Session, current
from llm_magics.errors import UsageError
from llm_magics.tasks.embed import Embed
from llm_magics.tasks.generate import Generate
from llm_magics.tasks.label import Explain
from llm_magics.types import Message


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


def generate(
    data: Any,
    template: str,
    *,
    num_generations: int = 1,
    long: bool = False,
    system: str = "",
    **options: Unpack[Common],
) -> Any:
    """Generate text for each row from a template over its columns.

    Args:
        data: a DataFrame, a Series or a list of texts (whose column is ``text``).
        template: ``{column}`` is the row's value, ``{@name}`` an entry of ``variables``.
        num_generations: texts a row; a list a row, or with ``long`` a row each.
        system: the system message.
        options: see ``plans.Common``.

    Returns the frame with ``generation``, ``generation_status`` and ``generation_error``.
    Raises UsageError before anything is sent.
    """
    session = current()
    plan = plan_generate(
        session, data, template, num_generations=num_generations, long=long, system=system, **options
    )
    return execute(session, plan, options)


def plan_generate(
    session: Session,
    data: Any,
    template: str | None,
    *,
    num_generations: int = 1,
    long: bool = False,
    system: str = "",
    **options: Any,
) -> Plan:
    """The plan of ``generate``; takes what it takes."""
    common: Common = options  # type: ignore[assignment]
    given = plans.source(data, common)
    if not (template or "").strip():
        raise UsageError("the template is missing.", hint="Write it in the cell's body: Summarise {text}")
    if num_generations < 1:
        raise UsageError("num_generations must be 1 or more.")
    compiled = prompts.compile_template(
        str(template).strip(), given.frame.columns, common.get("variables") or {}
    )
    prompts.require_columns(compiled, given.frame.columns)
    task = Generate(compiled, plans.output_name(given.frame, common, "generation"), system)
    backend = plans.backend_for(session, common, "generate", "text")
    return plans.plan(
        session, given, task, backend, common, inputs=compiled.columns, samples=num_generations, long=long
    )


def embed(data: Any, **options: Unpack[Common]) -> Any:
    """The embedding of each row's text: a float32 array a row in the column ``embedding``.

    Returns the frame with ``embedding``, ``embedding_status`` and ``embedding_error``; null and blank
    texts are skipped. ``options``: see ``plans.Common``.
    """
    session = current()
    return execute(session, plan_embed(session, data, **options), options)


def plan_embed(session: Session, data: Any, **options: Any) -> Plan:
    """The plan of ``embed``."""
    common: Common = options  # type: ignore[assignment]
    given = plans.source(data, common)
    task = Embed(plans.text_column(given), plans.output_name(given.frame, common, "embedding"))
    backend = plans.backend_for(session, common, "embed", "vector")
    return plans.plan(session, given, task, backend, common, inputs=(task.column,))


def chat(
    question: str,
    *,
    thread: str | None = None,
    system: str = "",
    **options: Unpack[Common],
) -> Any:
    """Ask a question. Stateless, unless ``thread`` names a conversation to go on with.

    Returns the answer as text. Raises what the backend raises: there is no row to be null.
    """
    session = current()
    plan = plan_chat(session, question, thread=thread, system=system, **options)
    return execute(
        session, plan, options, shape=lambda run: keep_turn(session, thread, question, answer_of(run))
    )


def plan_chat(
    session: Session, question: str | None, *, thread: str | None = None, system: str = "", **options: Any
) -> Plan:
    """The plan of ``chat``: one row, whose text is the question."""
    common: Common = {**options, "on_error": "raise", "name": "the question"}  # type: ignore[typeddict-item]
    if not (question or "").strip():
        raise UsageError("the question is missing.", hint="Write it in the cell's body.")
    given = plans.source([question], common)
    template = prompts.Template((prompts.Slot("text"),))
    history: Sequence[Message] = session.threads.get(thread, ()) if thread else ()
    task = Generate(template, "answer", system, tuple(history), name="chat", role="chat")
    backend = plans.backend_for(session, common, "chat", "text")
    return plans.plan(session, given, task, backend, common, inputs=("text",), work=listened)


def keep_turn(session: Session, thread: str | None, question: str, answer: str) -> str:
    """Remember a turn of a conversation; an unnamed one is the last."""
    before = session.threads.get(thread, ()) if thread else ()
    turn = (*before, Message("user", question), Message("assistant", answer))
    session.threads[LAST_THREAD] = turn
    if thread:
        session.threads[thread] = turn
    return answer


async def label_async(data: Any, labels: Any = None, **arguments: Any) -> Any:
    """``label`` for a running event loop: awaits the result, other cells and widgets stay live."""
    return await label(data, labels, **arguments, background=True)


async def generate_async(data: Any, template: str, **arguments: Any) -> Any:
    """``generate`` for a running event loop."""
    return await generate(data, template, **arguments, background=True)


async def embed_async(data: Any, **arguments: Any) -> Any:
    """``embed`` for a running event loop."""
    return await embed(data, **arguments, background=True)


async def chat_async(question: str, **arguments: Any) -> Any:
    """``chat`` for a running event loop."""
    return await chat(question, **arguments, background=True)


LAST_THREAD = "last"
"""The conversation that ``--continue`` goes on with."""
