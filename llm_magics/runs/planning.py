"""Planning a run: options are checked and made into a plan before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llm_magics.backends.base import Backend
from llm_magics.core.errors import Unsupported, UsageError
from llm_magics.core.parameters import check_parameters
from llm_magics.core.prompt_formats import BEGUN, as_formatting_fn, prompt_of
from llm_magics.core.types import Limits, OneOf, Vector
from llm_magics.data import frames
from llm_magics.data.frames import Frame
from llm_magics.engine.task import ColumnTask, Target
from llm_magics.engine.worker_pool import Options
from llm_magics.options.run_options import RowOptions, RunOptions
from llm_magics.runs.long_rows import with_length_policy
from llm_magics.runs.run import Plan
from llm_magics.runs.session import Session
from llm_magics.settings.clear_text_keys import refuse_clear_text
from llm_magics.settings.config import Config, embedded_default

FLAG = "--rows-per-request"


def with_shared_requests(plan: Plan, rows: int) -> Plan:
    """The plan with ``rows`` rows in one request. Raises UsageError for a task that needs one a row."""
    if rows < 1:
        raise UsageError("rows_per_request must be 1 or more.")
    if rows == 1:
        return plan
    if not plan.backend.capabilities.text:
        raise Unsupported(
            f"{plan.backend.name} reads no prompts that rows could share.",
            hint=f"Leave out {FLAG}, or name a language model with -m.",
        )
    if plan.strategy is not None or plan.samples > 1:
        raise UsageError(
            f"{FLAG} goes with one plain answer a row.",
            hint=f"Leave out {FLAG}, or what asks more: --dynamic, --agree, --votes, several generations.",
        )
    target = replace(plan.target, rows_per_request=rows)
    asked = plan.task.request(dict.fromkeys(plan.inputs, "."), target)
    form = asked.response_format if asked is not None else None
    if isinstance(form, Vector):
        raise UsageError(f"{FLAG} is for texts; embeddings go in batches by themselves.")
    if isinstance(form, OneOf) and form.scores:
        raise UsageError(
            f"{FLAG} has no probabilities: those are of one answer a request.",
            hint=f"Leave out {FLAG}, or --scores and --calibrate.",
        )
    if target.parameters.get("stop"):
        raise UsageError(
            f"{FLAG}: a stop text would end the answer to all rows of a request.",
            hint="Leave out one of them.",
        )
    return replace(plan, target=target)


DETERMINISTIC: Mapping[str, Any] = {"temperature": 0}
"""The parameters of labels and scores, where the backend takes them: equal texts get equal labels."""

NO_MODEL = """Three ways to get a language model:
  an API key        %llm_config key set openai, then %llm_config use gpt-4.1-mini
  a local file      %llm_config add local --gguf PATH, then %llm_config use local
  a server          %llm_config add mine --openai URL --id MODEL, then %llm_config use mine"""


@dataclass(frozen=True)
class Source:
    """The data of a call: the frame, the column of its text, the chosen rows."""

    frame: Frame
    column: str | None
    rows: Sequence[int]


def source(options: RowOptions) -> Source:
    """Read the data and choose the rows.

    Raises UsageError, NotFound; TypedKeyError for a key given as a parameter.
    """
    refuse_clear_text(options.parameters or {})
    frame, column = frames.read_partitioned(options.data, options.name, options.on)
    if frame.dask_frame is not None:
        for name in ("where", "head", "sample"):
            if getattr(options, name) is not None:
                frame.require_whole(f"--{name}")
        return Source(frame, column, ())
    rows = frames.select_rows(
        frame,
        where=options.where,
        head=options.head,
        sample=options.sample,
        seed=options.random_state,
        variables=options.variables,
    )
    return Source(frame, column, rows)


def text_column(given: Source) -> str:
    """The column that holds the text: the one named, or the frame's only column of text.

    Raises UsageError where there is more than one or none.
    """
    if given.column is not None:
        return given.column
    texts = [name for name in given.frame.columns if given.frame.holds_text(name)]
    if len(texts) == 1:
        return texts[0]
    name = given.frame.name
    raise UsageError(
        f"which column of {name} holds the text?",
        hint=f"Type {name}.COLUMN or --on COLUMN. Columns: {', '.join(given.frame.columns[:20])}",
    )


def output_name(frame: Frame, options: RunOptions, default: str) -> str:
    """The new column's name: the one asked for, or ``default`` (``llm_default`` where that exists).

    Raises UsageError where the frame has a column of the name asked for, unless inplace.
    """
    asked = options.output
    if asked is None:
        return default if default not in frame.columns or options.inplace else f"llm_{default}"
    if not asked.strip():
        raise UsageError("--as names the new column; it can't be blank.")
    if asked in frame.columns and not options.inplace:
        raise UsageError(
            f"{frame.name} already has a column {asked!r}.",
            hint="Name another with --as, or overwrite with --inplace.",
        )
    return asked


def backend_for(session: Session, options: RunOptions, role: str, kind: str) -> Backend:
    """The backend of a call. Raises NotFound, or Unsupported where it can't do ``kind``."""
    backend = session.backend(options.model, role)
    can = backend.capabilities
    able = {
        "one_of": can.one_of or can.text,
        "vector": can.embed,
        "text": can.text,
        "schema": can.text or can.schema,
    }
    if not able[kind]:
        what = {"vector": "give embeddings", "one_of": "choose labels"}.get(kind, "write text")
        hint = (
            NO_MODEL
            if kind != "vector"
            else "Name one that can: -m embedded::wordllama, -m text-embedding-3-small"
        )
        raise Unsupported(f"{backend.name} can't {what}.", hint=hint)
    return backend


def embedder(session: Session) -> Backend:
    """The backend of vectors where the call names none.

    It is one that is bound to ``embed`` or only embeds, else the embedded default: a chat model's host rarely
    serves embeddings under its name.
    """
    backend = session.backend(None, "embed")
    bound = session.config.role("embed")[0] != session.config.role("default")[0]
    if backend.capabilities.embed and (bound or not backend.capabilities.text):
        return backend
    return session.backend(embedded_default(), "embed")


def target(backend: Backend, options: RunOptions, own: Mapping[str, Any] | None = None) -> Target:
    """Where requests go and with which parameters: the call's override the backend's, those the task's.

    Raises NotFound for a misspelt parameter, UsageError for an impossible value.
    """
    asked = dict(options.parameters or {})
    check_parameters(asked)
    if "max_tokens" in asked:
        asked["max_new_tokens"] = asked.pop("max_tokens")
    takes = backend.capabilities.parameters
    mine = {k: v for k, v in (own or {}).items() if takes is None or k in takes}
    whole = {**mine, **backend.parameters, **asked}
    if whole.get("prompt_formatting_fn") is not None:
        whole["prompt_formatting_fn"] = as_formatting_fn(whole["prompt_formatting_fn"])
    return Target(backend.namespace, backend.model, backend.base_url, whole)


def with_text_format(plan: Plan) -> Plan:
    """The plan with the prompt format of its task for this kind of model.

    ``text_format`` for a model without a chat template, ``chat_format`` for a chat model that continues a
    begun answer, greedily where no temperature was set; neither where somebody chose a format.

    A model that isn't on this disk yet is asked again when it is loaded (``loaded_with_format``).
    """
    chosen = {"prompt_format", "prompt_formatting_fn"} & plan.target.parameters.keys()
    backend = plan.backend
    form = plan.text_format if backend.completes else plan.chat_format if backend.begins else ""
    if not form or chosen or plan.target.rows_per_request > 1:
        return plan
    own = DETERMINISTIC if form == BEGUN else {}
    parameters = {**own, **plan.target.parameters, "prompt_format": form}
    return replace(plan, target=replace(plan.target, parameters=parameters))


async def loaded_with_format(plan: Plan) -> Plan:
    """The same, with the model loaded first where only that tells which kind it is."""
    if (plan.text_format or plan.chat_format) and plan.backend.completes is None:
        await plan.backend.load()
    return with_text_format(plan)


def engine_options(config: Config, options: RunOptions, role: str, backend: Backend) -> Options:
    """The engine's options of this call; the backend's own limits contain the settings already."""
    max_cost, can = options.max_cost, backend.capabilities
    return Options(
        limits=Limits(options.rpm, options.tpm, concurrency=options.concurrency),
        retries=options.retries,
        refresh=options.refresh,
        max_cost=config.value("max_cost") if max_cost is None else max_cost,
        on_error=options.on_error or config.value("on_error"),
        use_store=options.store and config.value("store") != "off",
        batch=max(can.embed_batch, can.batch_size) if role == "embed" else None,
    )


def plan(
    session: Session,
    given: Source,
    task: ColumnTask,
    backend: Backend,
    options: RunOptions,
    *,
    inputs: Sequence[str],
    parameters: Mapping[str, Any] | None = None,
    **more: Any,
) -> Plan:
    """The complete plan. Raises UsageError where the frame has no place for the result."""
    made = Plan(
        task=task,
        columns=task.columns,
        output=task.output,
        frame=given.frame,
        rows=given.rows,
        inputs=inputs,
        backend=backend,
        target=target(backend, options, parameters),
        options=engine_options(session.config, options, task.role, backend),
        seed=options.random_state,
        **more,
    )
    if options.rows_per_request is not None:
        made = with_shared_requests(made, options.rows_per_request)
    made = with_text_format(made)
    if options.too_long:
        made = with_length_policy(made, options.too_long, options.room)
    _try_prompt(made)
    if options.inplace:
        _refuse_inplace(made)
    else:
        _refuse_taken(made)
    return made


def _try_prompt(made: Plan) -> None:
    """Render one prompt, so that an unknown format or a failing formatting function is an error now."""
    whole = made.frame.dask_frame is None
    if whole and {"prompt_format", "prompt_formatting_fn"} & made.target.parameters.keys():
        first = next((request for item in made.work_items() for request in made.requests(item)), None)
        if first is not None:
            prompt_of(first)


def _refuse_inplace(made: Plan) -> None:
    """Raises UsageError where the result can't be added to the user's own frame."""
    frames.require_changeable(made.frame)
    if made.long or made.shape is not None:
        raise UsageError(
            "--inplace can't add rows to your frame.", hint="Leave one of the two flags out, or use -o NAME."
        )


def _refuse_taken(made: Plan) -> None:
    """Raises UsageError where a column would be overwritten that the user did not name."""
    taken = [name for name in made.columns if name in made.frame.columns]
    if taken:
        raise UsageError(
            f"{made.frame.name} already has the column {taken[0]!r}.", hint="Name another with --as."
        )
