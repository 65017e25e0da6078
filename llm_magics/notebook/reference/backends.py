"""The reference page of the backends, made by ``python -m llm_magics.notebook.reference.backends``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from llm_magics.backends.base import Backend
from llm_magics.backends.namespaces import BUILT_IN, create
from llm_magics.core.prompt_formats import FORMATS
from llm_magics.core.types import BackendSpec, Capabilities
from llm_magics.notebook.config.doctor import NEEDS
from llm_magics.settings.keys import KEY_REQUIRED, KEY_VARIABLES

PAGE = "docs/reference/backends.md"

TESTED: Mapping[str, str] = {
    "openai": "stand-in; each request compared with the openai SDK's",
    "azure": "stand-in; each request compared with the openai SDK's",
    "custom_url": "stand-ins: ours, llmock, llama.cpp's own server",
    "vllm": "stand-in",
    "ollama": "stand-in; requests compared with the ollama package's",
    "hf_endpoint": "stand-in; resuming by huggingface_hub itself",
    "anthropic": "real SDK, stand-in",
    "gguf": "real library, tiny models",
    "gemini": "real SDK, stand-in",
    "vertex": "real SDK, stand-in; signed in with a service-account file",
    "transformers": "real library, tiny models",
    "vllm_local": "stand-in for the package; no GPU was reached",
    "embedded": "itself",
    "custom": "itself",
    "pool": "itself",
    "committee": "itself, real small models",
    "process": "itself, killed and crashed",
    "echo": "itself",
}
"""How a namespace is tested; the page explains "stand-in"."""

ADD: Mapping[str, str] = {
    "openai": "%llm_config use gpt-4.1-mini",
    "azure": "%llm_config add work --azure https://NAME.openai.azure.com --id DEPLOYMENT",
    "custom_url": "%llm_config add mine --openai https://host/v1 --id MODEL --key env:MY_KEY",
    "vllm": "%llm_config use vllm::Qwen/Qwen3-8B",
    "ollama": "%llm_config add local --model ollama::qwen3 -p num_ctx=8192",
    "hf_endpoint": "%llm_config add mine --model hf_endpoint::tgi --url https://ID.huggingface.cloud/v1",
    "anthropic": "%llm_config use anthropic::claude-sonnet-4-5",
    "gguf": "%llm_config add local --gguf ~/models/qwen-1.5b-q4.gguf --ctx 8192",
    "gemini": "%llm_config use gemini::gemini-2.5-flash",
    "vertex": "%llm_config set vertex.project=MY_PROJECT",
    "transformers": "%llm_config use transformers::Qwen/Qwen3-0.6B",
    "vllm_local": "%llm_config add fast --model vllm_local::Qwen/Qwen3-8B --option max_model_len=8192",
    "embedded": "%llm_config use embedded::wordllama --for embed",
    "custom": "%llm_config add mine --call answer --setup client --embed vectors",
    "pool": "%llm_config add both --pool fast,local",
    "committee": "%llm_config add best --committee embedded::wordllama+use,local",
    "process": "%llm_config add apart --process local",
    "echo": "%llm_config use echo::any",
}
"""One line each that adds a backend of the namespace."""

_MODELS = {"embedded": "wordllama+use", "openai": "gpt-4.1-mini", "gguf": "model.gguf"}


def example(namespace: str, model: str = "") -> Backend:
    """A backend of the namespace with its defaults; nothing is opened."""
    options: dict[str, Any] = {}
    inner = BackendSpec("custom", "member", options={"fn": str.upper})
    if namespace == "custom":
        options = {"fn": str.upper, "embed_fn": len}
    elif namespace in ("pool", "committee"):
        options = {"members": (inner, inner)}
    elif namespace == "process":
        options = {"loader": "my_models:load"}
    url = "https://host.example/v1" if namespace in ("azure", "custom_url") else ""
    return create(
        BackendSpec(namespace, model or _MODELS.get(namespace, "model"), base_url=url, options=options)
    )


def render() -> str:
    """The whole page."""
    backends = {name: example(name) for name in BUILT_IN}
    parts = [
        _INTRODUCTION,
        _overview(backends),
        _SIGNS,
        _sign_in(),
        _PROMPTS,
        *_sections(backends),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


_INTRODUCTION = """
# Backends

<!-- Made by `python -m llm_magics.notebook.reference.backends`; a test fails when it is not up to date. -->

A model is named `namespace::model`, by a registered name, or by an alias; a plain name is OpenAI's.
`%llm_config doctor` says what a namespace lacks on this machine. All of them pass one contract of
tests: texts, labels, schemas, vectors, usage, truncated and empty answers, unicode, rows of 100 KB,
cancelling, and every fault of a host as one of our errors with whether it may pass and what to type
next.
"""

_SIGNS = """
"labels" and "schemas": the backend itself holds the answer to them; elsewhere the prompt does, with
a tolerant reading and one more question. "scores": probabilities of labels. "at once": the most
requests in flight, unless `--concurrency` says otherwise. "rows a call": what is handed over
together. "stand-in": tested against a server on loopback that speaks the provider's documented
format and refuses every field the documentation doesn't have; the paid service itself was never
reached. "tiny models" are built by the tests, with random weights. Another package adds namespaces
by an entry point: [write a backend](../howto/write_a_backend.md).

What a section below calls `spec.options` is typed as `--option K=V` behind `%llm_config add`.
"""

_PROMPTS = f"""
## Prompts

Messages go to a model as messages; its own chat template makes text of them. `-p
prompt_format=NAME` sends raw text in a named format in its place: {
    ", ".join(f"`{name}`" for name in FORMATS)
}. `prompt_formatting_fn`, a function of the messages, decides for itself: the text it
returns is what is sent (as one user message where a backend has no way for raw text), a list of
messages is sent as that.
"""


def _overview(backends: Mapping[str, Backend]) -> str:
    rows = [
        (f"[`{name}`](#{name})", *_can(name, backend.capabilities), TESTED[name])
        for name, backend in backends.items()
    ]
    heads = (
        "namespace",
        "text",
        "labels",
        "schemas",
        "scores",
        "embeddings",
        "at once",
        "rows a call",
        "tested",
    )
    return _table(heads, rows)


def _can(name: str, can: Capabilities) -> tuple[str, ...]:
    """The cells of the capabilities; embeddings as an embedding model of the namespace gives them."""
    embeds = can.embed or example(name, "an-embedding-model").capabilities.embed
    words = (can.text, can.one_of, can.schema, can.one_of and can.logprobs, embeds)
    return (*("yes" if word else "" for word in words), str(can.max_concurrency), str(can.batch_size))


def _sign_in() -> str:
    rows = []
    for name in BUILT_IN:
        needs = NEEDS.get(name)
        extra = f'`%pip install "llm_magics[{needs.extra}]"`' if needs and needs.extra else ""
        key = ", ".join(f"`{variable}`" for variable in KEY_VARIABLES.get(name, ()))
        needed = "needed" if name in KEY_REQUIRED else "where the host asks" if key else ""
        if name == "vertex":
            key, needed = "`GOOGLE_CLOUD_PROJECT`, `gcloud auth application-default login`", "needed"
        rows.append((f"`{name}`", extra, key, needed))
    return "## Packages and keys\n\n" + _table(("namespace", "package", "key or sign-in", ""), rows)


def _sections(backends: Mapping[str, Backend]) -> Iterator[str]:
    """Each class's docstring, once, and its own parameters."""
    first: dict[type, str] = {}
    for name, backend in backends.items():
        same = first.setdefault(type(backend), name)
        told = _markdown(inspect.getdoc(type(backend)) or "") if same == name else f"As [`{same}`](#{same})."
        takes = sorted(backend.capabilities.parameters or ()) if same == name else ()
        listed = f"\n\nParameters: {', '.join(f'`{word}`' for word in takes)}." if takes else ""
        yield f"## {name}\n\n```\n{ADD[name]}\n```\n\n{told}{listed}"


def _markdown(text: str) -> str:
    """A docstring as Markdown: double backquotes become single ones."""
    return re.sub(r"``([^`]+)``", r"`\1`", text)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    print(render(), end="")
