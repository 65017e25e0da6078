"""The plan of ``embed``, and the function itself."""

from __future__ import annotations

from typing import Any, Unpack

from llm_magics.runs import planning
from llm_magics.runs.execution import execute
from llm_magics.runs.planning import Common
from llm_magics.runs.run import Plan
from llm_magics.runs.session import Session, current
from llm_magics.tasks.embed.task import Embed


def embed(data: Any, **options: Unpack[Common]) -> Any:
    """The embedding of each row's text: a float32 array a row in the column ``embedding``.

    Returns the frame with ``embedding``, ``embedding_status`` and ``embedding_error``; null and blank
    texts are skipped. ``options``: see ``planning.Common``.
    """
    session = current()
    return execute(session, plan_embed(session, data, **options), options)


def plan_embed(session: Session, data: Any, **options: Any) -> Plan:
    """The plan of ``embed``."""
    common: Common = options  # type: ignore[assignment]
    given = planning.source(data, common)
    task = Embed(planning.text_column(given), planning.output_name(given.frame, common, "embedding"))
    backend = planning.backend_for(session, common, "embed", "vector")
    return planning.plan(session, given, task, backend, common, inputs=(task.column,))


async def embed_async(data: Any, **arguments: Any) -> Any:
    """``embed`` for a running event loop."""
    return await embed(data, **arguments, background=True)
