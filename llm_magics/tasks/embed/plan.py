"""``embed``: its options checked and made into a plan."""

from __future__ import annotations

from llm_magics.runs import planning
from llm_magics.runs.functions import in_background, run_function
from llm_magics.runs.run import Plan
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
