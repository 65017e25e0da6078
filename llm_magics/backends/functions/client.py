"""The backend for Python functions: sync or async, of a prompt or of LLooM's ``(model, prompt)``."""

from __future__ import annotations

import asyncio
import copy
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from llm_magics.backends.base import BatchBackend, Secrets
from llm_magics.backends.error_mapping import from_exception
from llm_magics.backends.functions.calling import Caller, Shape, copy_import
from llm_magics.backends.openai import parsing
from llm_magics.backends.similarity.labels import SimilarityLabels
from llm_magics.backends.threads import in_thread
from llm_magics.core.errors import (
    LLMError,
    MalformedAnswer,
    MissingPackage,
    ModelLoadError,
    Unsupported,
    UsageError,
)
from llm_magics.core.prompt_formats import fingerprint, message_dicts, prompt_of, render_format
from llm_magics.core.types import (
    NO_USAGE,
    BackendSpec,
    Capabilities,
    Embedding,
    OneOf,
    Request,
    Response,
    Schema,
    Usage,
)

BATCH = 32
"""Texts (or prompts) of one call to a function of several, where ``batch_size`` is not set."""


@dataclass(eq=False)
class Handle:
    """The ``model`` argument of a function of two arguments, with LLooM's attributes.

    ``client`` is what the setup function returned, ``args`` the parameters of the call.
    """

    name: str
    client: Any = None
    args: dict[str, Any] = field(default_factory=dict)
    api_key: str | None = field(default=None, repr=False)


class CustomBackend(BatchBackend):
    """A function of the notebook as a backend.

    ``spec.options``: ``fn`` answers prompts, ``embed_fn`` makes vectors, ``setup_fn(api_key)`` returns
    the client both find at ``model.client``; ``batch_size`` texts go to ``embed_fn`` at once (and
    prompts to an ``fn`` whose parameter is called ``prompts``); ``context_window`` in tokens;
    ``target`` is the object passed as ``model`` (a Handle by default).

    ``fn`` may take ``(prompt)``, ``(messages)``, ``(request)``, ``(prompts)`` or LLooM's
    ``(model, prompt)``, and further parameters by name (``temperature=0``). It returns a text,
    ``(text, (input tokens, output tokens))``, a mapping of labels to scores, a JSON value, or a
    Response. Sync functions run in threads, and so do async ones that turn out never to wait.
    """

    def __init__(self, spec: BackendSpec, secrets: Secrets | None = None) -> None:
        super().__init__(spec, secrets)
        options = spec.options
        self.fn = _function(options.get("fn"), "fn")
        self.embed_fn = _function(options.get("embed_fn"), "embed_fn")
        self.setup_fn = _function(options.get("setup_fn"), "setup_fn")
        if self.fn is None and self.embed_fn is None:
            raise UsageError(f"{self.name} has no function.", hint="%llm_config add NAME --call FN")
        self.shape = Shape.of(self.fn) if self.fn else Shape()
        self.base_url = f"python:{fingerprint(*filter(None, (self.fn, self.embed_fn, self.setup_fn)))}"
        self.capabilities = self._capabilities(options)
        self.target: Any = options.get("target") or Handle(spec.model)
        self._call = Caller(self.fn, self.name) if self.fn else None
        self._embed = Caller(self.embed_fn, self.name) if self.embed_fn else None
        self._labels = SimilarityLabels(self.name, self.embed)
        self._ready = self.setup_fn is None
        self._setting_up = threading.Lock()
        self._notes: tuple[str, ...] = ()

    def _capabilities(self, options: Mapping[str, Any]) -> Capabilities:
        """What the given functions can do."""
        batch = int(options.get("batch_size") or BATCH)
        return Capabilities(
            text=self.fn is not None,
            one_of=self.fn is None,
            embed=self.embed_fn is not None,
            max_concurrency=self.limits.concurrency or 64,
            batch_size=batch if self.fn is None or self.shape.argument == "prompts" else 1,
            embed_batch=batch,
            context_window=options.get("context_window"),
            parameters=self.shape.names,
        )

    async def open(self) -> None:
        """Call ``setup_fn``, once. Raises MissingPackage, ModelLoadError."""
        await self._set_up()

    async def complete_many(self, requests: Sequence[Request]) -> list[Response | LLMError]:
        """One call for a function of ``prompts``, calls side by side for any other.

        Where there is only a function of vectors, labels come from those.
        """
        if self._call is None:
            return await self._labels.complete_many(requests)
        try:
            await self._set_up()
        except LLMError as error:
            return [error for _ in requests]
        if self.shape.argument == "prompts":
            return await self._batch(self._call, requests)
        return list(await asyncio.gather(*(self._answer(self._call, request) for request in requests)))

    async def _answer(self, call: Caller, request: Request) -> Response | LLMError:
        """One call of the function."""
        try:
            began = time.perf_counter()
            answer = await self._try(call, (_argument(request, self.shape.argument),), request)
            made = _response(request, answer, self.model, self._said(request))
            return made if made.latency else replace(made, latency=time.perf_counter() - began)
        except LLMError as error:
            return error

    async def _batch(self, call: Caller, requests: Sequence[Request]) -> list[Response | LLMError]:
        """One call for many prompts; its list must have as many answers."""
        try:
            prompts = [_argument(request, "prompt") for request in requests]
            parsing = await self._try(call, (prompts,), requests[0])
            if not isinstance(parsing, Sequence) or len(parsing) != len(requests):
                raise MalformedAnswer(
                    f"{self.name} was given {len(requests)} prompts and returned {_shape(parsing)}."
                )
        except LLMError as error:
            return [error for _ in requests]
        return [
            _outcome(*pair, self.model, self._said(pair[0])) for pair in zip(requests, parsing, strict=True)
        ]

    async def _try(self, call: Caller, arguments: tuple[Any, ...], request: Request | None = None) -> Any:
        """Call with the model as first argument where the function takes it; exceptions become our errors."""
        parameters = dict(request.parameters) if request else {}
        shape = self.shape if request else Shape.of(call.fn)
        if shape.wants_model:
            arguments = (self._model(parameters), *arguments)
        chosen = {name: value for name, value in parameters.items() if shape.takes(name)}
        try:
            return await call(*arguments, **chosen)
        except NameError as error:
            note = copy_import(error, self.setup_fn, call.fn)
            if not note:
                raise from_exception(error, who=self.name) from error
            self._notes = (*self._notes, note)
            return await self._try(call, arguments[1:] if shape.wants_model else arguments, request)
        except Exception as error:
            raise from_exception(error, who=self.name) from error

    def _model(self, parameters: Mapping[str, Any]) -> Any:
        """The object passed as ``model``; a call's own parameters are in a copy's ``args``."""
        own = {name: value for name, value in parameters.items() if not name.startswith("prompt_format")}
        if not own:
            return self.target
        model = copy.copy(self.target)
        model.args = {**self.target.args, **own}
        return model

    def _said(self, request: Request) -> tuple[str, ...]:
        """Notes for the user: copied imports, parameters that no function took."""
        if self.shape.names is None:
            return self._notes
        lost = [
            n for n in request.parameters if n not in self.shape.names and not n.startswith("prompt_format")
        ]
        return (*self._notes, *(f"{self.name} takes no {name}; it was not passed." for name in lost))

    async def embed(self, texts: Sequence[str]) -> Embedding:
        """Vectors in batches of ``batch_size``; one text at a time where the function takes one."""
        if self._embed is None:
            raise Unsupported(f"{self.name} gives no embeddings.", hint="%llm_config add NAME --embed FN")
        await self._set_up()
        size = self.capabilities.embed_batch
        parts = [await self._vectors(texts[at : at + size]) for at in range(0, len(texts), size)]
        return _joined(parts, self.model)

    async def _vectors(self, texts: Sequence[str]) -> tuple[Any, Usage]:
        """One call's matrix of ``len(texts)`` rows."""
        import numpy as np

        assert self._embed is not None
        value, usage = _counted(await self._try(self._embed, (list(texts),)))
        matrix = np.asarray(value, dtype=np.float32)
        if matrix.ndim == 1 and len(texts) > 1:  # it looked at one text only
            singles = [await self._vectors([text]) for text in texts]
            return np.concatenate([rows for rows, _ in singles]), _sum(used for _, used in singles)
        matrix = matrix.reshape(1, -1) if matrix.ndim == 1 else matrix
        if matrix.ndim != 2 or len(matrix) != len(texts):
            raise MalformedAnswer(
                f"{self.name} was given {len(texts)} texts and returned shape {matrix.shape}."
            )
        return matrix, usage

    async def _set_up(self) -> None:
        """Call ``setup_fn`` once, in a thread; a failure is tried again next time."""
        if not self._ready:
            await in_thread(self._set_up_once)

    def _set_up_once(self) -> None:
        with self._setting_up:
            if self._ready:
                return
            assert self.setup_fn is not None
            try:
                self.target.client = self.setup_fn(self._api_key())
            except ImportError as error:
                raise MissingPackage(
                    f"the setup function of {self.name} needs a package: {error}",
                    hint=f"%pip install {error.name}",
                ) from error
            except LLMError:
                raise
            except Exception as error:
                raise ModelLoadError(
                    f"the setup function of {self.name} raised {type(error).__name__}: {error}"
                ) from error
            self._ready = True

    def _api_key(self) -> str | None:
        """The key for ``setup_fn``: the object's own, else the reference resolved now."""
        own = getattr(self.target, "api_key", None)
        if own is not None or not self.spec.key or self.secrets is None:
            return own
        return self.secrets.resolve(self.spec.key)

    async def close(self) -> None:
        """Forget the client; the next call sets it up again."""
        self._ready = self.setup_fn is None
        for caller in (self._call, self._embed):
            if caller is not None:
                caller.close()


def _function(value: Any, what: str) -> Callable[..., Any] | None:
    if value is not None and not callable(value):
        raise UsageError(
            f"{what} is {value!r}, not a function.", hint="Give the name of a function in the notebook."
        )
    return value  # type: ignore[no-any-return]


def _argument(request: Request, kind: str) -> Any:
    """The argument of the function: the request, its messages, or one text."""
    if kind == "request":
        return request
    rendered = prompt_of(request)
    if kind == "messages":
        return rendered if isinstance(rendered, str) else message_dicts(rendered)
    if isinstance(rendered, str):
        return rendered
    return rendered[0].content if len(rendered) == 1 else render_format("default", rendered)


def _outcome(request: Request, answer: Any, model: str, notes: tuple[str, ...]) -> Response | LLMError:
    try:
        return answer if isinstance(answer, LLMError) else _response(request, answer, model, notes)
    except LLMError as error:
        return error


def _response(request: Request, answer: Any, model: str, notes: tuple[str, ...]) -> Response:
    """A function's result, in any of the documented forms, as a Response."""
    if isinstance(answer, Response):
        return answer
    value, usage = _counted(answer)
    usage = parsing.estimated(request.messages, str(value or ""), model) if usage == NO_USAGE else usage
    if isinstance(value, str):
        parsed = parsing.parsed(request.response_format, value)
        return Response(text=value, parsed=parsed, usage=usage, model=model, notes=notes)
    if isinstance(request.response_format, OneOf) and _is_scores(value, request.response_format):
        best = max(value, key=lambda name: value[name])
        parsed = None if request.response_format.many else best
        return Response(best, parsed, dict(value), "custom", usage=usage, model=model, notes=notes)
    if isinstance(request.response_format, Schema) and value is not None:
        return Response(json.dumps(value, ensure_ascii=False), value, usage=usage, model=model, notes=notes)
    raise MalformedAnswer(
        f"the function of {model!r} returned {_shape(value)}, no text.",
        hint="Return a text, or (text, (input_tokens, output_tokens)).",
    )


def _counted(answer: Any) -> tuple[Any, Usage]:
    """An answer and its token counts; LLooM's (0, 0) means unknown, and the tokens are estimated."""
    if not (isinstance(answer, tuple) and len(answer) == 2):
        return answer, NO_USAGE
    value, tokens = answer
    if isinstance(tokens, Sequence) and len(tokens) == 2 and all(isinstance(n, int) for n in tokens):
        return value, Usage(*tokens)
    return value, NO_USAGE


def _is_scores(value: Any, asked: OneOf) -> bool:
    return isinstance(value, Mapping) and bool(value) and set(value) <= set(asked.names)


def _shape(value: Any) -> str:
    size = f" of length {len(value)}" if isinstance(value, Sequence) else ""
    return f"{type(value).__name__}{size}"


def _sum(usages: Any) -> Usage:
    pairs = [(usage.input_tokens, usage.output_tokens) for usage in usages]
    return Usage(sum(ahead for ahead, _ in pairs), sum(after for _, after in pairs))


def _joined(parts: list[tuple[Any, Usage]], model: str) -> Embedding:
    import numpy as np

    if not parts:
        return Embedding(np.zeros((0, 0), np.float32), model=model)
    return Embedding(np.concatenate([rows for rows, _ in parts]), _sum(used for _, used in parts), model)
