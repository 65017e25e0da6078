"""The table of all settings: name, kind, default, meaning and environment variables.

Checking, ``%llm_config``, completion and the reference page all read this table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_magics.core.errors import UsageError
from llm_magics.core.types import ROLES
from llm_magics.settings.clear_text_keys import refuse_in_url
from llm_magics.settings.quantities import parse_size

PREFIX = "LLM_MAGICS_"

_TRUE = {"true", "on", "yes", "1"}
_FALSE = {"false", "off", "no", "0"}
_KINDS_IN_WORDS = {
    "text": "text",
    "url": "a URL",
    "flag": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "size": "a size such as 12GB or 500MB",
    "path": "a file or folder",
}


@dataclass(frozen=True)
class Declaration:
    """The declaration of one setting.

    ``kind`` is one of text, url, flag, integer, number, size, path. ``variables`` are environment variables
    of other programs with the same meaning, tried in order after ``LLM_MAGICS_NAME``. ``choices`` are the
    values allowed, ``least`` is the smallest number allowed. ``setters`` are the names of scikit-llm's
    functions for it.
    """

    name: str
    kind: str
    default: Any
    meaning: str
    variables: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    least: float | None = None
    setters: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        """The setting's own environment variable."""
        return PREFIX + self.name.upper().replace(".", "_")

    @property
    def names_a_model(self) -> bool:
        """Whether its value is the name of a backend."""
        return self.name == "model" or self.name.startswith("roles.")

    def check(self, value: Any) -> Any:
        """Return ``value``, which may be text, converted to the setting's kind.

        Raises:
            UsageError: A value of another kind, or one that is not allowed.
        """
        checked = _CHECKS[self.kind](self, value)
        if self.choices and checked not in self.choices:
            raise self.value_error(value, "one of " + ", ".join(self.choices))
        if self.least is not None and checked < self.least:
            raise self.value_error(value, f"at least {self.least:g}")
        return checked

    def value_error(self, value: Any, wanted: str = "") -> UsageError:
        """Return the error for a value that this setting can't have."""
        wanted = wanted or _KINDS_IN_WORDS[self.kind]
        return UsageError(f"{self.name} must be {wanted}, not {value!r}.", hint=self.meaning)


def _text(setting: Declaration, value: Any) -> str:
    if not isinstance(value, str):
        raise setting.value_error(value)
    return value.strip()


def _url(setting: Declaration, value: Any) -> str:
    text = _text(setting, value)
    refuse_in_url(setting.name, text)
    return text


def _flag(setting: Declaration, value: Any) -> bool:
    word = str(value).strip().casefold()
    if word not in _TRUE | _FALSE:
        raise setting.value_error(value)
    return word in _TRUE


def _number(setting: Declaration, value: Any) -> float:
    if isinstance(value, bool):
        raise setting.value_error(value)
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise setting.value_error(value) from None
    if number != number or number in (float("inf"), float("-inf")):
        raise setting.value_error(value)
    return number


def _integer(setting: Declaration, value: Any) -> int:
    number = _number(setting, value)
    if not number.is_integer():
        raise setting.value_error(value)
    return int(number)


def _size(setting: Declaration, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise setting.value_error(value)
    try:
        return parse_size(value)
    except UsageError:
        raise setting.value_error(value) from None


def _path(setting: Declaration, value: Any) -> str:
    text = str(value).strip() if isinstance(value, str | Path) else ""
    if not text:
        raise setting.value_error(value)
    return str(Path(text).expanduser())


_CHECKS: Mapping[str, Callable[[Declaration, Any], Any]] = {
    "text": _text,
    "url": _url,
    "flag": _flag,
    "integer": _integer,
    "number": _number,
    "size": _size,
    "path": _path,
}

_GENERAL = (
    Declaration("model", "text", None, "The model every task uses unless a role or -m says otherwise."),
    *(
        Declaration(f"roles.{role}", "text", None, f"The model for {role}; without it, the default model.")
        for role in ROLES
        if role != "default"
    ),
)

_RUNS = (
    Declaration(
        "max_cost", "number", None, "US dollars one run may cost; it stops before passing this.", least=0
    ),
    Declaration(
        "confirm_above", "number", None, "A run estimated above this many US dollars asks for --yes.", least=0
    ),
    Declaration("concurrency", "integer", None, "Requests in flight at once, at most.", least=1),
    Declaration("rpm", "number", None, "Requests a minute, at most.", least=0.001),
    Declaration("tpm", "number", None, "Tokens a minute, at most.", least=1),
    Declaration("retries", "integer", 5, "Attempts after the first for a fault that may pass.", least=0),
    Declaration("timeout", "number", 120.0, "Seconds one attempt may take.", least=0.001),
    Declaration(
        "on_error",
        "text",
        "null",
        "A row that fails: null in the frame, or raise.",
        choices=("null", "raise"),
    ),
)

_NOTEBOOK = (
    Declaration(
        "widgets", "text", "auto", "Widgets where the front end has them, or off.", choices=("auto", "off")
    ),
    Declaration("store", "text", "on", "The response store: on, off, or the path of its file."),
    Declaration(
        "store_limit", "size", None, "The largest the response store may grow; the oldest answers go."
    ),
    Declaration("debug", "flag", False, "Show tracebacks of expected errors too."),
    Declaration(
        "offline",
        "flag",
        False,
        "Download nothing: models must be on this machine.",
        variables=("HF_HUB_OFFLINE",),
    ),
)

_HOSTS = (
    Declaration(
        "openai.base_url", "url", None, "Where openai models are asked.", variables=("OPENAI_BASE_URL",)
    ),
    Declaration(
        "openai.organization",
        "text",
        None,
        "The organization openai calls are billed to.",
        variables=("OPENAI_ORG_ID", "OPENAI_ORGANIZATION", "SKLLM_CONFIG_OPENAI_ORG"),
        setters=("set_openai_org", "set_gpt_org"),
    ),
    Declaration(
        "openai.project",
        "text",
        None,
        "The project openai calls are billed to.",
        variables=("OPENAI_PROJECT_ID", "OPENAI_PROJECT"),
    ),
    Declaration(
        "azure.endpoint",
        "url",
        None,
        "The Azure resource, https://NAME.openai.azure.com.",
        variables=("AZURE_OPENAI_ENDPOINT", "SKLLM_CONFIG_AZURE_API_BASE"),
        setters=("set_azure_api_base",),
    ),
    Declaration(
        "azure.api_version",
        "text",
        None,
        "The Azure API version.",
        variables=("AZURE_OPENAI_API_VERSION", "OPENAI_API_VERSION", "SKLLM_CONFIG_AZURE_API_VERSION"),
        setters=("set_azure_api_version",),
    ),
    Declaration(
        "custom_url.base_url",
        "url",
        None,
        "Where custom_url models are asked; the key is custom_url's own, never openai's.",
        variables=("SKLLM_CONFIG_GPT_URL",),
        setters=("set_gpt_url",),
    ),
    Declaration("vllm.base_url", "url", None, "The vLLM server.", variables=("VLLM_BASE_URL",)),
    Declaration("ollama.base_url", "url", None, "The Ollama server.", variables=("OLLAMA_HOST",)),
    Declaration("hf_endpoint.base_url", "url", None, "A Hugging Face inference endpoint."),
    Declaration(
        "anthropic.base_url",
        "url",
        None,
        "Where anthropic models are asked.",
        variables=("ANTHROPIC_BASE_URL",),
    ),
    Declaration(
        "vertex.project",
        "text",
        None,
        "The Google Cloud project of vertex models.",
        variables=("GOOGLE_CLOUD_PROJECT",),
        setters=("set_google_project",),
    ),
    Declaration(
        "vertex.location",
        "text",
        None,
        "The Google Cloud region of vertex models.",
        variables=("GOOGLE_CLOUD_LOCATION",),
    ),
)

_GGUF = (
    Declaration(
        "gguf.gpu_layers",
        "integer",
        0,
        "Layers of a GGUF model on the GPU; 0 = none, -1 = all.",
        variables=("SKLLM_CONFIG_GGUF_MAX_GPU_LAYERS",),
        least=-1,
        setters=("set_gguf_max_gpu_layers",),
    ),
    Declaration(
        "gguf.context", "integer", None, "Tokens a GGUF model reads; without it, the model's own.", least=1
    ),
    Declaration(
        "gguf.verbose",
        "flag",
        False,
        "Show llama.cpp's own log.",
        variables=("SKLLM_CONFIG_GGUF_VERBOSE",),
        setters=("set_gguf_verbose",),
    ),
    Declaration(
        "gguf.threads", "integer", None, "CPU threads of a GGUF model; without it, all cores.", least=1
    ),
    Declaration(
        "gguf.workers",
        "integer",
        None,
        "Contexts of a GGUF model side by side; without it, one a core, four at most.",
        least=1,
    ),
    Declaration("gguf.memory_limit", "size", None, "Memory all loaded GGUF models may take together."),
    Declaration(
        "gguf.download_path",
        "path",
        None,
        "Where GGUF files are downloaded to.",
        variables=("SKLLM_CONFIG_GGUF_DOWNLOAD_PATH",),
    ),
)

SETTINGS: Mapping[str, Declaration] = {
    setting.name: setting for setting in (*_GENERAL, *_RUNS, *_NOTEBOOK, *_HOSTS, *_GGUF)
}
