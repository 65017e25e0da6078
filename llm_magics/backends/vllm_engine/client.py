"""vLLM's own engine inside the kernel: whole batches at once, labels and schemas held to while it writes."""

from __future__ import annotations

import gc
import inspect
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar

from llm_magics.backends.base import BatchBackend, Secrets, unused_parameters
from llm_magics.backends.error_mapping import from_exception
from llm_magics.backends.huggingface.prompts import Prompt, Prompter
from llm_magics.backends.in_kernel.model_cache import Key, cache
from llm_magics.backends.in_kernel.truncation import with_truncation
from llm_magics.backends.openai import parsing
from llm_magics.backends.openai.dialects import label_schema
from llm_magics.backends.threads import in_thread
from llm_magics.core.errors import LLMError, MissingPackage, ModelLoadError
from llm_magics.core.types import (
    FREE,
    BackendSpec,
    Capabilities,
    Limits,
    OneOf,
    Request,
    Response,
    Text,
    Usage,
)

NEW_TOKENS = 512
"""Tokens of an answer where the user set no ``max_new_tokens``; vLLM's own default is 16."""

TOP = 20
"""Alternatives of a token where probabilities are asked for: the most vLLM gives unless told otherwise."""

WORDS = {"max_new_tokens": "max_tokens", "repeat_penalty": "repetition_penalty"}
"""Our parameters in vLLM's words; the others have the same name there."""

OURS = frozenset({"thinking", "prompt_format", "prompt_formatting_fn"})


class Engine:
    """One ``vllm.LLM`` and the lock that makes calls take turns. ``size``: its weights are elsewhere."""

    size = 0

    def __init__(self, model: str, options: Mapping[str, Any], name: str) -> None:
        self.package, self._constraint = _library()
        self.model, self.name = model, name
        self.lock = threading.Lock()
        try:
            self.llm: Any = self.package.LLM(model=model, **options)
        except Exception as error:
            said = f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:300]}"
            hint = "Is the name right, has the GPU room? vllm.LLM's own options: --option max_model_len=8192"
            raise ModelLoadError(f"vLLM can't load {model}: {said}", hint=hint) from error
        self.prompter = Prompter(self.llm.get_tokenizer())
        self.context = int(self.llm.llm_engine.model_config.max_model_len)

    def answers(self, requests: Sequence[Request]) -> list[Response | LLMError]:
        """Each request's answer, or what keeps its prompt from being made."""
        found: list[Any] = [self._prompt(request) for request in requests]
        good = [place for place, prompt in enumerate(found) if isinstance(prompt, Prompt)]
        prompts = [{"prompt_token_ids": found[place].ids} for place in good]
        try:
            settings = [self._settings(requests[place], len(found[place])) for place in good]
            made = self.llm.generate(prompts, settings, use_tqdm=False) if good else []
        except Exception as error:
            raise from_exception(error, who=self.name, model=self.model) from error
        for place, answer in zip(good, made, strict=True):
            found[place] = self._response(requests[place], found[place], answer.outputs[0])
        return found

    def _prompt(self, request: Request) -> Prompt | LLMError:
        room = max(self.context - _most(request), self.context // 2)
        try:
            return self.prompter.prompt(request, room, thinking=bool(request.parameters.get("thinking")))
        except LLMError as error:
            return error

    def _settings(self, request: Request, taken: int) -> Any:
        """The row's ``SamplingParams``: the model's own defaults under what was asked for."""
        given = {WORDS.get(name, name): value for name, value in request.parameters.items()}
        asked = {name: value for name, value in given.items() if name in self._fields and value is not None}
        if "seed" in asked:
            asked["seed"] = int(asked["seed"]) + request.sample
        if getattr(request.response_format, "scores", False):
            asked["logprobs"] = TOP
        asked["max_tokens"] = max(1, min(_most(request), self.context - taken))
        return self.package.SamplingParams(**{**self._defaults, **self._held(request), **asked})

    @cached_property
    def _fields(self) -> frozenset[str]:
        """What this version's ``SamplingParams`` takes."""
        return frozenset(inspect.signature(self.package.SamplingParams).parameters)

    @cached_property
    def _defaults(self) -> Mapping[str, Any]:
        """Where the model's generation settings differ from vLLM's."""
        own, plain = self.llm.get_default_sampling_params(), self.package.SamplingParams()
        names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
        return {name: getattr(own, name) for name in names if getattr(own, name) != getattr(plain, name)}

    def _held(self, request: Request) -> dict[str, Any]:
        """What holds the answer to its format."""
        form = request.response_format
        if isinstance(form, Text):
            return {}
        if isinstance(form, OneOf):
            kind = {"json": label_schema(form)} if form.many else {"choice": list(form.names)}
        else:
            kind = {"json": dict(getattr(form, "schema", {}))}
        return {"structured_outputs": self._constraint(**kind)}

    def _response(self, request: Request, prompt: Prompt, said: Any) -> Response:
        form, text = request.response_format, str(said.text)
        bare = isinstance(form, OneOf) and not form.many and text in form.names
        parsed = text if bare else parsing.parsed(form, text)
        finish = str(said.finish_reason or "stop")
        scores = parsing.scores(form, parsing.Answer(text, finish, _entries(said)), parsed)
        usage = Usage(len(prompt), len(said.token_ids), cost=0.0)
        strange = [n for n in request.parameters if WORDS.get(n, n) not in self._fields and n not in OURS]
        notes = unused_parameters(self.name, strange)
        method = "logprobs" if scores else ""
        made = Response(text, parsed, scores, method, None, finish, usage, self.model, notes=notes)
        return with_truncation(made, prompt.cut, self.context)

    def close(self) -> None:
        """Wait for the call under way, then end the engine and its process."""
        with self.lock:
            core: Any = getattr(self.llm.llm_engine, "engine_core", None)  # most often a process of its own
            if hasattr(core, "shutdown"):
                core.shutdown()
            self.llm = None
        gc.collect()


def _most(request: Request) -> int:
    given = request.parameters.get("max_new_tokens") or request.parameters.get("max_tokens")
    return int(given or NEW_TOKENS)


def _entries(made: Any) -> list[dict[str, Any]]:
    """The tokens with their alternatives, in the OpenAI format's words."""
    found = []
    for token, chances in zip(made.token_ids, made.logprobs or (), strict=False):
        listed = {key: {"token": one.decoded_token, "logprob": one.logprob} for key, one in chances.items()}
        found.append({**listed.get(token, {}), "top_logprobs": list(listed.values())})
    return found


def _library() -> tuple[Any, Any]:
    """The package, and its class of constraints, which it has had since 0.11. Raises MissingPackage."""
    try:
        import vllm
        from vllm.sampling_params import StructuredOutputsParams
    except ImportError as error:
        raise MissingPackage(
            "vllm_local needs the package 'vllm', 0.11 or newer (Linux, with a GPU).",
            hint="%pip install -U vllm; or run its server somewhere and use vllm::MODEL",
        ) from error
    return vllm, StructuredOutputsParams


T = TypeVar("T")

BATCH = 256
"""Rows handed to the engine at once, unless ``batch_size`` says otherwise; it schedules them itself."""

PATIENCE = 24 * 3600.0
"""Seconds for one row, in place of a server's two minutes: it waits in line, and perhaps for a download."""


class LocalVLLMBackend(BatchBackend):
    """A model run by vLLM in the kernel, where ``vllm`` can be imported.

    One label is held to by the engine's choice constraint, several labels and schemas by its JSON
    constraint. Further fields of ``SamplingParams`` are parameters like any other: ``-p min_p=0.05``; what
    is left open is as the model's own generation settings have it. ``spec.options``: ``batch_size`` (256);
    all others go to ``vllm.LLM`` (``max_model_len``, ``gpu_memory_utilization``, ``tensor_parallel_size``,
    ``quantization``, ...). The model lives in the kernel's ModelCache. An interrupt gives the cell back at
    once; the engine finishes the batch it has. For a server: ``vllm::``.
    """

    def __init__(self, spec: BackendSpec, secrets: Secrets | None = None) -> None:
        super().__init__(spec, secrets)
        self._options = {name: value for name, value in spec.options.items() if name != "batch_size"}
        self.price = spec.price or FREE
        patient = spec.limits.timeout == Limits().timeout
        self.limits = replace(spec.limits, timeout=PATIENCE) if patient else spec.limits
        batch = int(spec.options.get("batch_size", BATCH))
        self.capabilities = Capabilities(
            one_of=True, schema=True, logprobs=True, max_concurrency=2, batch_size=batch
        )

    async def open(self) -> None:
        """Load the model where it isn't. Raises MissingPackage, ModelLoadError."""
        window = await self._with_engine(lambda engine: engine.context)
        self.capabilities = replace(self.capabilities, context_window=window)

    async def complete_many(self, requests: Sequence[Request]) -> list[Response | LLMError]:
        """Answers in order, from one call of the engine."""
        began = time.perf_counter()
        outcomes = await self._with_engine(lambda engine: engine.answers(requests))
        took = (time.perf_counter() - began) / max(1, len(requests))
        return [replace(each, latency=took) if isinstance(each, Response) else each for each in outcomes]

    async def _with_engine(self, work: Callable[[Engine], T]) -> T:
        """Do the work with the loaded engine, in a thread, in turn."""
        pairs = tuple(sorted((name, repr(value)) for name, value in self._options.items()))
        key = Key(f"vllm:{self.model}", options=pairs, name=self.spec.name or self.model)

        def run() -> T:
            with cache().use(key, self._load) as engine, engine.lock:
                return work(engine)

        return await in_thread(run, f"llm_magics {self.name}")

    def _load(self) -> Engine:
        token = self.secrets.resolve(self.spec.key) if self.secrets is not None and self.spec.key else None
        options = {**self._options, **({"hf_token": token} if token else {})}
        return Engine(self.model, options, self.name)
