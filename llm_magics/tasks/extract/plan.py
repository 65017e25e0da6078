"""The plans of ``extract``: typed columns, a row per record, or entities with their places."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Unpack

from llm_magics.core.errors import UsageError
from llm_magics.data import frames
from llm_magics.runs import planning
from llm_magics.runs.execution import execute
from llm_magics.runs.planning import Common
from llm_magics.runs.run import Plan, Run
from llm_magics.runs.session import Session, current
from llm_magics.tasks.extract.pydantic_models import is_model, model_fields
from llm_magics.tasks.extract.task import Entities, Extract
from llm_magics.text.fields import KINDS, Field, fields_of


def plan_extract(
    session: Session,
    data: Any,
    fields: Any = None,
    *,
    many: bool = False,
    spans: bool = False,
    guidance: str = "",
    **options: Any,
) -> Plan:
    """The plan of ``extract``; takes what it takes."""
    common: Common = options  # type: ignore[assignment]
    given = planning.source(data, common)
    if many and spans:
        raise UsageError("--many and --spans don't go together.", hint="--spans finds every mention anyway.")
    if many and common.get("inplace"):
        raise UsageError("--many makes a row per record; it can't add columns in place.", hint="Use -o NAME.")
    model = fields if is_model(fields) else None
    known = model_fields(model) if model is not None else fields_of(fields if fields is not None else "")
    column = planning.text_column(given)
    task: Entities | Extract
    if spans:
        if model is not None:
            raise UsageError(
                "--spans takes kinds of entities, no model.", hint='A body of "name: description" lines.'
            )
        task = Entities(known, column, planning.output_name(given.frame, common, "spans"), guidance)
    else:
        prefix = common.get("output") or ""
        task = Extract(known, column, prefix, prefix or "extract", many, guidance, model)
    backend = planning.backend_for(session, common, "extract", "schema")
    return planning.plan(
        session,
        given,
        task,
        backend,
        common,
        inputs=(column,),
        parameters={"temperature": 0},
        categories={} if many or spans else _categories(task),
        kinds={} if many or spans else _kinds(task),
        shape=_exploded(task) if isinstance(task, Extract) and many else None,
    )


def extract(
    data: Any,
    fields: Any,
    *,
    many: bool = False,
    spans: bool = False,
    guidance: str = "",
    **options: Unpack[Common],
) -> Any:
    """Find typed fields in each row's text.

    Args:
        data: a DataFrame (pandas, polars, pyarrow), a Series or a list of texts.
        fields: ``name [type]: description`` lines, a mapping name -> type, or a pydantic model class.
        many: a row per record that the text holds; index and other columns repeat.
        spans: the fields are kinds of entities; the column ``spans`` has a list of
            ``start end label text`` a row, offsets in characters.
        guidance: what to tell the model beyond the fields.
        options: see ``plans.Common``; ``output`` is put before the columns' names.

    Returns the frame with a column a field, ``extract_status`` and ``extract_error``; what a text doesn't
    say is null. An answer that doesn't fit its types is asked for once more. Raises UsageError before
    anything is sent.
    """
    session = current()
    plan = plan_extract(session, data, fields, many=many, spans=spans, guidance=guidance, **options)
    return execute(session, plan, options)


async def extract_async(data: Any, fields: Any, **arguments: Any) -> Any:
    """``extract`` for a running event loop."""
    return await extract(data, fields, **arguments, background=True)


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
