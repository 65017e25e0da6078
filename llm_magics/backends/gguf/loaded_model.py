"""What the model cache keeps for a GGUF file: the scheduler with its threads, and the prompt maker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llm_magics.backends.gguf.llama.model import Model
from llm_magics.backends.gguf.llama.native import gpu_built
from llm_magics.backends.gguf.llama.scheduler import Scheduler
from llm_magics.backends.gguf.load_options import LoadOptions
from llm_magics.backends.gguf.prompts import Prompter

NO_GPU = (
    "gpu_layers has no effect: this llama-cpp-python was built without a GPU (see Install in "
    "docs/howto/local_models.md)."
)
NO_TEMPLATE = (
    "The file has no chat template (a base model?): messages go to it as plain lines, "
    "unless -p prompt_format=chatml."
)


class LocalModel:
    """A loaded file, ready for rows. Loading raises ModelLoadError and leaves nothing behind."""

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
        """Tokens that a prompt and its answer may take together."""
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
        """What a person should know about this model on this machine, a sentence each."""
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
        """Stop what runs and free everything."""
        self.scheduler.close()
