"""``embed``: its options checked and made into a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from llm_magics.backends.base import Backend
from llm_magics.core.types import Result
from llm_magics.data import frames
from llm_magics.engine.task import Target
from llm_magics.runs import planning
from llm_magics.runs.functions import in_background, run_function
from llm_magics.runs.passes import RunContext, single_pass
from llm_magics.runs.run import Plan, Run
from llm_magics.runs.session import Session
from llm_magics.tasks.embed.options import EmbedOptions
from llm_magics.tasks.embed.task import Embed


@run_function(EmbedOptions)
def embed(session: Session, options: EmbedOptions) -> Plan:
    """The embedding of each row's text: a float32 array a row in the column ``embedding``.

    Returns the frame with ``embedding``, ``embedding_status`` and ``embedding_error``; null and blank
    texts are skipped. Raises UsageError before anything is sent.
    """
    given = planning.source(options)
    task = Embed(planning.text_column(given), planning.output_name(given.frame, options, "embedding"))
    backend = planning.backend_for(session, options, "embed", "vector")
    return planning.plan(session, given, task, backend, options, inputs=(task.column,))


embed_async = in_background(embed)


async def unit_vectors(context: RunContext, outer: Plan, backend: Backend, texts: Sequence[str]) -> Any:
    """A unit vector a text, float32 of shape (n, d); zeros for a blank one. Raises what the backend raises.

    ``outer`` is the plan it is done for: its limits hold, stored vectors are used even when it asks again.
    """
    import numpy as np

    task = Embed("text")
    target = Target(backend.namespace, backend.model, backend.base_url, dict(backend.parameters))
    frame, _ = frames.read(list(texts), "texts")
    options = replace(outer.options, refresh=False, on_error="raise")
    run = Run(
        Plan(task, frame, range(len(texts)), ("text",), backend, target, options, task.columns, task.output)
    )
    found: dict[int, Any] = {}

    def take(result: Result) -> None:
        run.meter.add(result)
        if result.values:
            found[result.index] = result.values[task.output]

    await single_pass(context, run, take=take)
    run.finish()
    context.record(run)
    size = len(next(iter(found.values()))) if found else 1
    made = np.zeros((len(texts), size), dtype=np.float32)
    for index, vector in found.items():
        made[index] = vector
    return made / np.maximum(np.linalg.norm(made, axis=1, keepdims=True), 1e-12)
