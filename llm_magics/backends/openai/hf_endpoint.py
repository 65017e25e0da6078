"""Hugging Face inference, serverless and dedicated: the OpenAI format, and models that have to wake up."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from llm_magics.backends import error_mapping
from llm_magics.backends.base import Secrets
from llm_magics.backends.http import Reply
from llm_magics.backends.openai.client import OpenAIBackend
from llm_magics.backends.threads import in_thread
from llm_magics.core.errors import LLMError, MissingPackage, ModelLoadError, RateLimited
from llm_magics.core.types import BackendSpec

WAIT = 10.0
"""Seconds between checks of a loading model, where the host names no time."""

_LOADING = re.compile(
    r"loading|initiali[sz]ing|starting|scal(ed|ing)[ -]?(to|from)[ -]?(zero|0)|not ready|wak(e|ing)",
    re.IGNORECASE,
)
_PAUSED = re.compile(r"\bpaused\b", re.IGNORECASE)
_ASLEEP = frozenset({400, 404, 409, 502, 503})


class HFEndpointBackend(OpenAIBackend):
    """A model on Hugging Face's router, or a dedicated endpoint by its URL.

    A model that loads, or an endpoint that wakes up, is waited for (at most 15 minutes, without using up
    a row's attempts). A paused endpoint stays paused unless ``spec.options`` names it: ``endpoint``
    ("name" or "account/name") is resumed with the same token, then waited for.
    """

    def __init__(self, spec: BackendSpec, secrets: Secrets | None = None) -> None:
        super().__init__(spec, secrets)
        self._resuming: asyncio.Task[None] | None = None
        self._state = ""

    @property
    def announcement(self) -> str:
        """What is being waited for."""
        return self._state

    def _failure(self, reply: Reply) -> LLMError:
        told = error_mapping.said(reply.body)
        if reply.status in _ASLEEP and _PAUSED.search(told.message):
            return self._paused()
        if reply.status in _ASLEEP and _LOADING.search(told.message):
            self._state = f"{self.name} is loading its model"
            return _sleeping(f"{self._state}.", told.wait or error_mapping.retry_after(reply.headers) or WAIT)
        return super()._failure(reply)

    def _paused(self) -> LLMError:
        """Resume the endpoint where that is allowed; else raise with what to do."""
        name = str(self.spec.options.get("endpoint") or "")
        if not name:
            return ModelLoadError(
                f"the endpoint {self.endpoint.host} is paused.",
                hint="Resume it at https://endpoints.huggingface.co; the option endpoint=NAME does it here.",
            )
        if self._resuming is None:
            self._resuming = asyncio.get_running_loop().create_task(self._resume(name))
        elif self._resuming.done() and (error := self._resuming.exception()) is not None:
            self._resuming = None
            return _as_load_error(name, error)
        self._state = f"{self.name} was paused and is being resumed"
        return _sleeping(f"{self._state}.", WAIT)

    async def _resume(self, name: str) -> None:
        """Ask Hugging Face to start the endpoint again."""
        account, _, short = name.rpartition("/")
        headers = await self.access.headers()
        token = headers.get("authorization", "").removeprefix("Bearer ") or None
        await in_thread(
            lambda: _hub().resume_inference_endpoint(short, namespace=account or None, token=token)
        )

    async def close(self) -> None:
        """Close the connections; an endpoint that was resumed keeps running."""
        self._resuming, self._state = None, ""
        await super().close()


def _sleeping(message: str, wait: float) -> RateLimited:
    """An error that all rows wait for together, and that costs none of them an attempt."""
    return RateLimited(message, hint="It goes on by itself; %llm stop ends it.", status=503, retry_after=wait)


def _as_load_error(name: str, error: BaseException) -> LLMError:
    if isinstance(error, LLMError):
        return error
    made = ModelLoadError(
        f"the endpoint {name!r} could not be resumed: {error_mapping.short(str(error))}",
        hint="Does the token have write access to it?",
    )
    made.__cause__ = error
    return made


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingPackage.of("huggingface_hub", "gguf", "Resuming an endpoint") from error
    return huggingface_hub
