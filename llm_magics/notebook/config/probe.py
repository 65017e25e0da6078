"""One small request, to see whether a backend answers."""

from __future__ import annotations

import time
from typing import Any

from llm_magics.backends.base import Backend
from llm_magics.core.types import TEXT, Message, Request, Usage

QUESTION = "Answer with the one word: ready"


async def probe(backend: Backend) -> dict[str, Any]:
    """What came back: model, seconds, tokens, dollars, and what the backend says it can do.

    Raises:
        LLMError: What stands in the way.
    """
    started = time.perf_counter()
    can = backend.capabilities
    if can.text:
        model, usage, answer = await _ask(backend)
    else:
        embedding = await backend.embed([QUESTION])
        model, usage, answer = embedding.model, embedding.usage, f"a vector of {len(embedding.vectors[0])}"
    able = [name for name in ("text", "one_of", "schema", "logprobs", "embed") if getattr(can, name)]
    return {
        "model": model or backend.model,
        "answer": answer,
        "seconds": round(time.perf_counter() - started, 3),
        "tokens": usage.input_tokens + usage.output_tokens,
        "cost": usage.cost,
        "can": able,
    }


async def _ask(backend: Backend) -> tuple[str, Usage, str]:
    request = Request(
        backend=backend.namespace,
        model=backend.model,
        messages=(Message("user", QUESTION),),
        response_format=TEXT,
        parameters={**backend.parameters, "max_new_tokens": 16},
        base_url=backend.base_url,
        subject=QUESTION,
    )
    response = await backend.complete(request)
    return response.model, response.usage, response.text[:60]
