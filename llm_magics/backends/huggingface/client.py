"""The backend for Hugging Face models inside the kernel.

Batched generation, exact label scores, embeddings.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, TypeVar

from llm_magics.backends.base import BatchBackend, Secrets, listener, unused_parameters
from llm_magics.backends.huggingface.generation import PARAMETERS
from llm_magics.backends.in_kernel.label_trie import LINE_END, as_continued, over_half, question
from llm_magics.backends.in_kernel.model_cache import Key, cache
from llm_magics.backends.in_kernel.truncation import with_truncation
from llm_magics.backends.similarity.labels import SimilarityLabels
from llm_magics.backends.threads import in_thread
from llm_magics.core.errors import ContextOverflow, LLMError, NotFound, Overloaded, Unsupported
from llm_magics.core.prompt_formats import is_before_label, is_completion
from llm_magics.core.types import (
    FREE,
    BackendSpec,
    Capabilities,
    Embedding,
    Limits,
    OneOf,
    Request,
    Response,
    Schema,
    Usage,
)

if TYPE_CHECKING:
    from llm_magics.backends.huggingface.loading import Embedder, LoadOptions, Writer
    from llm_magics.backends.huggingface.prompts import Prompt

T = TypeVar("T")

NEW_TOKENS = 512
"""Output tokens of an answer where the user set no ``max_new_tokens``."""

BATCH = 16
"""Rows generated side by side, unless ``batch_size`` says otherwise."""

LABEL_ROOM = 32
"""Tokens reserved for a label."""

SLACK = 32
"""Tokens by which one label's question may be longer than the one with the most characters."""

PATIENCE = 24 * 3600.0
"""The timeout of one row in seconds: it waits in the queue, and perhaps for a download."""

SCORINGS = ("constrained", "joint")

_EMBEDS = re.compile(
    r"embed|sentence-transformers/|(^|[/_-])(bge|gte|e5|mxbai|all-minilm|all-mpnet|paraphrase)", re.IGNORECASE
)


class TransformersBackend(BatchBackend):
    """A causal model of the Hugging Face hub (or a folder), or a sentence-transformers model.

    ``spec.options``: ``device`` (``cuda``, ``mps``, ``cpu``), ``dtype`` (``bfloat16``, ...), ``revision``,
    ``trust_remote_code``, ``offline``, ``batch_size`` (16), ``embeddings`` (True for an embedding model
    whose name doesn't tell). Models live in the kernel's ModelCache, under the same ``%llm_config cache``
    as GGUF files. One label is scored on the token trie of all labels, exactly as in the GGUF backend
    (``label_scoring=joint`` over the whole vocabulary); several by a yes/no question each. Sampled rows
    (with a temperature) are deterministic for a ``seed`` because they then go one at a time.
    """

    def __init__(self, spec: BackendSpec, secrets: Secrets | None = None) -> None:
        super().__init__(spec, secrets)
        self.embeds = _is_embedder(spec)
        self.price = spec.price or FREE
        self.batch = int(spec.options.get("batch_size") or BATCH)
        self.limits = _patient(spec.limits, self.batch)
        self.capabilities = _capabilities(self.embeds, self.batch)
        self._by_similarity = SimilarityLabels(self.name, self.embed)
        self._tries: dict[Any, Any] = {}
        self._continues = _without_template(Path(self.model).expanduser())

    @property
    def begins(self) -> bool:
        """Whether the tokenizer has a chat template, which the beginning of an answer can follow."""
        return not self.embeds and self.completes is False

    @property
    def completes(self) -> bool | None:
        """Whether the tokenizer has no chat template; None until a model of the hub is loaded."""
        return False if self.embeds else self._continues

    async def open(self) -> None:
        """Load the model where necessary. Raises MissingPackage, ModelLoadError."""
        window = await self._with_model(lambda model, _: getattr(model, "context", None))
        self.capabilities = replace(self.capabilities, context_window=window)
        if not self.embeds and self._continues is None:
            self._continues = await self._with_model(lambda model, _: not model.tokenizer.chat_template)

    async def complete_many(self, requests: Sequence[Request]) -> list[Response | LLMError]:
        """Responses in order; rows with the same format and parameters share a batch."""
        if self.embeds:
            return await self._by_similarity.complete_many(requests)
        began = time.perf_counter()
        outcomes: list[Response | LLMError] = await self._with_model(
            lambda model, stopped: self._answers(model, requests, stopped)
        )
        took = (time.perf_counter() - began) / max(1, len(requests))
        notes = (*self._notes(), *self._unsupported(requests))
        return [
            replace(o, latency=took, model=self.model, notes=(*o.notes, *notes))
            if isinstance(o, Response)
            else o
            for o in outcomes
        ]

    async def embed(self, texts: Sequence[str]) -> Embedding:
        """Unit vectors; no text is truncated."""
        if not self.embeds:
            raise Unsupported(
                f"{self.name} is a text model.",
                hint="Name one: transformers::sentence-transformers/all-MiniLM-L6-v2",
            )
        from llm_magics.backends.huggingface.embedding import embed

        vectors, tokens, cut = await self._with_model(lambda model, _: embed(model, texts, self.batch))
        note = f"texts longer than {self.name} reads were embedded in windows, as the mean by length."
        return Embedding(vectors, Usage(tokens, cost=0.0), self.model, (note,) if cut else ())

    # -- the model

    async def _with_model(self, work: Callable[[Any, Event], T]) -> T:
        """Do the work with the loaded model, in a thread, one at a time; a cancelled wait ends it early."""
        stopped = Event()

        def run() -> T:
            with cache().use(self._key(), self._load) as model, model.lock:
                return work(model, stopped)

        try:
            return await in_thread(run, f"llm_magics {self.name}")
        finally:
            stopped.set()

    def _key(self) -> Key:
        return Key(self._file(), options=self._options().pairs(), name=self.spec.name or self.model)

    def _file(self) -> str:
        folder = Path(self.model).expanduser()
        return str(folder.resolve()) if folder.is_dir() else self.model

    def _options(self) -> LoadOptions:
        from llm_magics.backends.huggingface.loading import LoadOptions

        known = {
            name: self.spec.options[name]
            for name in LoadOptions.__dataclass_fields__
            if name in self.spec.options
        }
        return LoadOptions(**known)

    def _load(self) -> Writer | Embedder:
        from llm_magics.backends.huggingface.loading import Embedder, Writer, loaded

        token = self.secrets.resolve(self.spec.key) if self.secrets is not None and self.spec.key else None
        made: Writer | Embedder = loaded(
            Embedder if self.embeds else Writer, self._file(), self._options(), token
        )
        return made

    def _notes(self) -> tuple[str, ...]:
        return tuple(filter(None, [cache().note(self._key())]))

    def _unsupported(self, requests: Sequence[Request]) -> tuple[str, ...]:
        """A note for each parameter that transformers lacks."""
        names = {name for request in requests for name in request.parameters}
        strange = sorted(name for name in names - PARAMETERS if not name.startswith("prompt_format"))
        return unused_parameters(self.name, strange)

    # -- answers, in the model's thread

    def _answers(
        self, model: Writer, requests: Sequence[Request], stopped: Event
    ) -> list[Response | LLMError]:
        from llm_magics.backends.huggingface.prompts import Prompter

        prompter = Prompter(model.tokenizer)
        groups: dict[Any, list[int]] = {}
        for place, request in enumerate(requests):
            groups.setdefault(_group(request), []).append(place)
        found: list[Response | LLMError] = [Overloaded("stopped")] * len(requests)
        for places in groups.values():
            for start in range(0, len(places), self.batch):
                if stopped.is_set():
                    return found
                part = places[start : start + self.batch]
                outcomes = self._group(model, prompter, [requests[i] for i in part], stopped)
                for place, outcome in zip(part, outcomes, strict=True):
                    found[place] = outcome
        return found

    def _group(self, model: Writer, prompter: Any, requests: list[Request], stopped: Event) -> list[Any]:
        """Requests of one format and one set of parameters; where instructions alone are too long, errors."""
        form = requests[0].response_format
        if isinstance(form, OneOf) and form.many:
            return [_attempt(partial(self._labels, model, prompter, request)) for request in requests]
        room = self._room(requests[0], model, prompter)
        prompts = [
            _attempt(partial(prompter.prompt, request, room, thinking=_thinks(request)))
            for request in requests
        ]
        good = [place for place, prompt in enumerate(prompts) if not isinstance(prompt, LLMError)]
        if not good:
            return prompts
        answer = self._label if isinstance(form, OneOf) else self._text
        chosen = [prompts[place] for place in good]
        made = self._halved(lambda some: answer(model, prompter, requests[0], some, stopped), chosen)
        for place, outcome in zip(good, made, strict=True):
            prompts[place] = outcome
        return prompts

    def _halved(self, work: Callable[[list[Any]], list[Any]], prompts: list[Any]) -> list[Any]:
        """The work's outcomes; where memory runs out, in halves, down to a single row."""
        try:
            return work(prompts)
        except Exception as error:
            if "out of memory" not in str(error).lower():
                raise
            if len(prompts) == 1:
                return [ContextOverflow(f"one row of {len(prompts[0]):,} tokens does not fit the memory.")]
        middle = len(prompts) // 2
        return [*self._halved(work, prompts[:middle]), *self._halved(work, prompts[middle:])]

    def _text(
        self, model: Writer, prompter: Any, like: Request, prompts: list[Any], stopped: Event
    ) -> list[Response]:
        from llm_magics.backends.huggingface.generation import write

        del prompter
        given = {
            **like.parameters,
            **({"temperature": 0} if isinstance(like.response_format, Schema) else {}),
        }
        if given.get("seed") is not None:
            given["seed"] = int(given["seed"]) + like.sample
        most = min(self._most(like, model), model.context - max(map(len, prompts)))
        heard = listener(like) if len(prompts) == 1 else None
        written = write(model, prompts, given, max(1, most), stopped, heard)
        return [
            with_truncation(
                Response(made.text, finish_reason=made.finish, usage=_usage(prompt, made.tokens)),
                prompt.cut,
                model.context,
            )
            for made, prompt in zip(written, prompts, strict=True)
        ]

    def _room(self, request: Request, model: Writer, prompter: Any) -> int:
        """Tokens a prompt may have; of the context, an answer's limit takes at most a half."""
        form = request.response_format
        if isinstance(form, OneOf):
            longest = max(len(prompter.label("", name)) for name in form.names) + 1
            return model.context - max(LABEL_ROOM, longest)
        return max(model.context - self._most(request, model), model.context // 2)

    def _most(self, request: Request, model: Writer) -> int:
        given = request.parameters.get("max_new_tokens") or request.parameters.get("max_tokens")
        return int(given or min(NEW_TOKENS, model.context // 2))

    def _label(
        self, model: Writer, prompter: Any, like: Request, prompts: list[Any], stopped: Event
    ) -> list[Response]:
        from llm_magics.backends.huggingface.scoring import Labels, scores

        del stopped
        form = like.response_format
        assert isinstance(form, OneOf)
        joint, continued = _scoring(like) == "joint", is_completion(like.parameters)
        behind_word = is_before_label(like.parameters)
        tail = prompts[0].tail
        key = (form.names, joint, continued, behind_word, tail)
        if key not in self._tries:
            spelt = [as_continued(name) if behind_word else name for name in form.names]
            end = prompter.label("", LINE_END) if continued else [model.tokenizer.eos_token_id]
            self._tries[key] = Labels.of([prompter.label(tail, name) for name in spelt], end, joint)
        found = scores(model, prompts, self._tries[key])
        return [
            _labelled(dict(zip(form.names, chances, strict=True)), prompt, model.context)
            for chances, prompt in zip(found, prompts, strict=True)
        ]

    def _labels(self, model: Writer, prompter: Any, request: Request) -> Response:
        """Several labels: a yes/no question each."""
        from llm_magics.backends.huggingface.scoring import odds, yes_and_no

        form = request.response_format
        assert isinstance(form, OneOf)
        room = model.context - 1
        longest = max((question(name) for name in form.names), key=len)
        first = prompter.prompt(request, room - SLACK, more=longest)
        shown = first.shown(request)
        prompts = [prompter.prompt(shown, room, more=question(name)) for name in form.names]
        yes, no = yes_and_no(prompter, prompts[0].tail)
        chances = dict(zip(form.names, odds(model, prompts, yes, no), strict=True))
        picked = over_half(chances, form.max_choices)
        usage = Usage(sum(map(len, prompts)), 0, cost=0.0)
        made = Response(json.dumps(picked), picked, chances, "yes/no", usage=usage)
        return with_truncation(made, first.cut, model.context)


def _labelled(chances: dict[str, float], prompt: Prompt, context: int) -> Response:
    best = max(chances, key=chances.__getitem__)
    return with_truncation(Response(best, best, chances, "trie", usage=_usage(prompt)), prompt.cut, context)


def _usage(prompt: Prompt, output: int = 0) -> Usage:
    return Usage(len(prompt), output, cost=0.0)


def _attempt(work: Callable[[], Any]) -> Any:
    """The result of ``work``, or our error as a value."""
    try:
        return work()
    except LLMError as error:
        return error


def _group(request: Request) -> Any:
    """The key of requests that may share a batch: same format, same parameters, no seed."""
    own = request.key if request.parameters.get("seed") is not None else ""
    return request.response_format.canonical, repr(sorted(request.parameters.items())), own


def _thinks(request: Request) -> bool:
    return bool(request.parameters.get("thinking", False))


def _scoring(request: Request) -> str:
    value = str(request.parameters.get("label_scoring", SCORINGS[0]))
    if value not in SCORINGS:
        raise NotFound.among("label_scoring", value, SCORINGS)
    return value


def _without_template(folder: Path) -> bool | None:
    """Whether a model's folder holds a tokenizer without a chat template; None where it doesn't say."""
    settings = folder / "tokenizer_config.json"
    if any((folder / name).is_file() for name in ("chat_template.jinja", "chat_template.json")):
        return False
    try:
        return not json.loads(settings.read_text("utf-8")).get("chat_template")
    except (OSError, ValueError):
        return None


def _is_embedder(spec: BackendSpec) -> bool:
    """Whether it is an embedding model: by the option, the folder's own files, or the name."""
    if "embeddings" in spec.options:
        return bool(spec.options["embeddings"])
    folder = Path(spec.model).expanduser()
    return (folder / "modules.json").is_file() if folder.is_dir() else bool(_EMBEDS.search(spec.model))


def _capabilities(embeds: bool, batch: int) -> Capabilities:
    if embeds:
        size = max(64, batch)
        return Capabilities(
            text=False, one_of=True, embed=True, embed_batch=size, batch_size=size, max_concurrency=1
        )
    names = PARAMETERS | {"prompt_format", "prompt_formatting_fn"}
    return Capabilities(
        one_of=True, logprobs=True, exact_scores=True, max_concurrency=2, batch_size=batch, parameters=names
    )


def _patient(limits: Limits, batch: int) -> Limits:
    """The limits of a local model: no rate limits, and a long timeout for the queue."""
    del batch
    timeout = PATIENCE if limits.timeout == Limits().timeout else limits.timeout
    return replace(limits, timeout=timeout)
