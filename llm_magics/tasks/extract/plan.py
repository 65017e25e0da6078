"""``extract``: its options checked and made into a plan for fields, records or entities."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from llm_magics.core.errors import UsageError
from llm_magics.data import frames
from llm_magics.runs import planning
from llm_magics.runs.functions import in_background, run_function
from llm_magics.runs.run import Plan, Run
from llm_magics.runs.session import Session
from llm_magics.tasks.extract.options import ExtractOptions
from llm_magics.tasks.extract.pydantic_models import is_model, model_fields
from llm_magics.tasks.extract.task import Entities, Extract
from llm_magics.text.fields import KINDS, Field, as_fields


@run_function(ExtractOptions)
def extract(session: Session, options: ExtractOptions) -> Plan:
    """Find typed fields in each row's text.

    Returns the frame with a column a field, ``extract_status`` and ``extract_error``; what a text doesn't
    say is null. With ``many`` there is a row per record: index and other columns repeat. With ``spans``
    the fields are kinds of entities, and the column ``spans`` has a list of ``start end label text`` a row,
    offsets in characters. An answer that doesn't fit its types is asked for once more. Raises UsageError
    before anything is sent.
    """
    given = planning.source(options)
    many, spans = options.many, options.spans
    if many and spans:
        raise UsageError("--many and --spans don't go together.", hint="--spans finds every mention anyway.")
    if many and options.inplace:
        raise UsageError("--many makes a row per record; it can't add columns in place.", hint="Use -o NAME.")
    task = _task(given, options)
    return planning.plan(
        session,
        given,
        task,
        planning.backend_for(session, options, "extract", "schema"),
        options,
        inputs=(task.column,),
        parameters={"temperature": 0},
        categories={} if many or spans else _categories(task),
        kinds={} if many or spans else _kinds(task),
        shape=_exploded(task) if isinstance(task, Extract) and many else None,
    )


extract_async = in_background(extract)


def _task(given: planning.Source, options: ExtractOptions) -> Entities | Extract:
    """The task over the fields asked for. Raises UsageError."""
    fields = options.fields
    model = fields if is_model(fields) else None
    known = model_fields(model) if model is not None else as_fields(fields if fields is not None else "")
    column = planning.text_column(given)
    if not options.spans:
        prefix = options.output or ""
        return Extract(known, column, prefix, prefix or "extract", options.many, options.guidance, model)
    if model is not None:
        raise UsageError(
            "--spans takes kinds of entities, no model.", hint='A body of "name: description" lines.'
        )
    return Entities(known, column, planning.output_name(given.frame, options, "spans"), options.guidance)


def _typed(task: Any) -> Iterator[tuple[str, Field]]:
    """Each column with its field."""
    return ((task.prefix + name, field) for name, field in zip(task.names, task.fields, strict=True))


def _categories(task: Any) -> dict[str, tuple[str, ...]]:
    return {name: field.options for name, field in _typed(task) if field.kind == "one of"}


def _kinds(task: Any) -> dict[str, str]:
    return {name: field.kind for name, field in _typed(task) if field.kind in KINDS[:6]}


def _exploded(task: Extract) -> Callable[[Run], Any]:
    """A row per record, the index and the other columns repeated; a row without records stays, as null."""

    def shape(run: Run) -> Any:
        columns = run.row_columns
        records = columns.pop(task.columns[0])
        held: list[list[dict[str, Any] | None]] = [list(found) if found else [None] for found in records]
        rows = [row for row, found in enumerate(held) for _ in found]
        flat = [record or {} for found in held for record in found]
        made = {task.prefix + name: [record.get(name) for record in flat] for name in task.names}
        rest = {name: [values[row] for row in rows] for name, values in columns.items()}
        frame = frames.repeat_rows(run.plan.frame, rows)
        native = frames.attach(frame, {**made, **rest}, _categories(task), _kinds(task))
        if hasattr(native, "attrs"):
            native.attrs["llm_magics"] = run.manifest()
        return native

    return shape
