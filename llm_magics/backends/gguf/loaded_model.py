"""The entry of the model cache for a GGUF file: the scheduler with its threads, and the prompts."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_magics.backends.gguf.llama.model import Model
from llm_magics.backends.gguf.llama.native import gpu_built
from llm_magics.backends.gguf.llama.scheduler import Scheduler
from llm_magics.backends.gguf.load_options import LoadOptions
from llm_magics.backends.in_kernel.chat_template import ChatTemplate, ControlTokenMask
from llm_magics.backends.in_kernel.truncation import PromptTokenizer, place_of, showing, truncated_prompt
from llm_magics.core.types import Request

if TYPE_CHECKING:
    from numpy.typing import NDArray


TAIL = 64
"""Characters at a prompt's end that decide how a label behind it is tokenised."""


@dataclass(frozen=True)
class Prompt:
    """``tokens`` of the whole prompt; ``group`` is equal for prompts with the same beginning.

    ``cut`` is the number of the row's tokens left out to fit the context, ``subject`` the rest of the
    row's text.
    """

    tokens: NDArray[Any]
    text: str
    group: Hashable = 0
    subject: str = ""
    cut: int = 0

    def shown(self, request: Request) -> Request:
        """The request with its text truncated as for this prompt."""
        return replace(showing(request, self.subject), subject=self.subject) if self.cut else request

    def __len__(self) -> int:
        return len(self.tokens)


class Prompter:
    """Makes the prompts of one model."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._template = ChatTemplate(model.template, model.begin, model.end_text)
        self._words = PromptTokenizer(lambda text: model.tokens(text, start=False, special=False), model.text)

    def prompt(self, request: Request, room: int, *, thinking: bool = False, more: str = "") -> Prompt:
        """The request's prompt in at most ``room`` tokens; ``more`` follows the last user message.

        Only ``request.subject`` is truncated, at its end. Raises ContextOverflow where the rest is too
        long.
        """
        hint = "Shorten the instructions, or: %llm_config set gguf.context=8192 (or add it with --ctx)"
        made = truncated_prompt(
            request, room, lambda shown: self._whole(shown, thinking), self._words, more=more, hint=hint
        )
        return replace(made.prompt, group=_group(request), subject=made.subject, cut=made.cut)

    def _whole(self, request: Request, thinking: bool) -> Prompt:
        disguise = ControlTokenMask(self._model.control)
        text = self._template.prompt(request, disguise, thinking)
        return Prompt(self._tokens(text, disguise), text)

    def label_tokens(self, prompt: str, label: str) -> list[int]:
        """The tokens of ``label`` as it would be written behind ``prompt``."""
        alone = [int(token) for token in self._model.tokens(label, start=False, special=False)]
        tail = prompt[-TAIL:]
        before = self._model.tokens(tail, start=False)
        whole = self._model.tokens(tail + label, start=False)
        joined = len(whole) > len(before) and bool((whole[: len(before)] == before).all())
        return [int(token) for token in whole[len(before) :]] if joined else alone

    def _tokens(self, text: str, disguise: ControlTokenMask) -> NDArray[Any]:
        import numpy as np

        (first, _), *others = disguise.pieces(text)
        found = [self._model.tokens(first)]
        found += [self._model.tokens(piece, start=False, special=not hidden) for piece, hidden in others]
        return np.concatenate(found) if others else found[0]


def _group(request: Request) -> Hashable:
    """The messages before the row's own text."""
    place = place_of(request)
    if place is None:
        return hash(request.messages[0].content[:256])
    before, _, _ = request.messages[place].content.rpartition(request.subject)
    return hash((request.messages[:place], before))


NO_GPU = (
    "gpu_layers has no effect: this llama-cpp-python was built without a GPU (see Install in "
    "docs/howto/local_models.md)."
)
NO_TEMPLATE = (
    "The file has no chat template (a base model?): messages go to it as plain lines, "
    "unless -p prompt_format=chatml."
)


class LocalModel:
    """A loaded file. Loading raises ModelLoadError and leaves nothing behind."""

    def __init__(self, path: Path, options: LoadOptions) -> None:
        self.path = path
        self.scheduler = Scheduler(path, options)
        self.prompter = Prompter(self.model)
        self.grammars: dict[str, str] = {}
        self.tries: dict[Any, Any] = {}

    @property
    def model(self) -> Model:
        """The weights and the vocabulary."""
        return self.scheduler.model

    @property
    def context(self) -> int:
        """The tokens that a prompt and its answer may take together."""
        return self.scheduler.options.context

    @property
    def size(self) -> int:
        """Bytes of memory."""
        return self.scheduler.size

    @property
    def writes(self) -> bool:
        """False for a model that only embeds."""
        return self.model.writes

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the user should know about this model on this machine, one sentence each."""
        workers = self.scheduler.options.workers
        each = f" for each of {workers} workers" if workers > 1 else ""
        told = [f"{self.path.name}: context of {self.context:,} tokens{each}, {self.size / 1e6:,.0f} MB."]
        if self.scheduler.options.gpu_layers and not gpu_built():
            told.append(NO_GPU)
        if not self.scheduler.shares:
            told.append(
                "Its memory can't be cut back to a shared prompt (recurrent or hybrid): every row "
                "evaluates its whole prompt, so short instructions pay."
            )
        if self.writes and not self.model.template:
            told.append(NO_TEMPLATE)
        return tuple(told)

    def close(self) -> None:
        """Stop running work and free everything."""
        self.scheduler.close()
