"""Presets of hosts of the OpenAI format: URL, key, names of parameters; and the endpoint of a spec."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from llm_magics.core.errors import UsageError
from llm_magics.core.types import BackendSpec

_ITS_OWN = ("x-stainless-", "user-agent", "accept", "content-type")
"""Headers with which the package describes itself."""


def endpoint_of(client: Any, model: str, preset: Preset) -> Endpoint:
    """Where an ``OpenAI`` or ``AzureOpenAI`` client (or its async twin) sends its requests.

    Azure's client names the deployment in the URL: its own one, or else the model.
    """
    base = str(client.base_url).rstrip("/")
    if base.endswith("/openai"):
        base = f"{base}/deployments/{model}"
    asked = dict(getattr(client, "default_query", {}) or {})
    return Endpoint(preset, base, query=f"?{urlencode(asked)}" if asked else "")


async def headers_of(client: Any) -> dict[str, str]:
    """The client's key and the headers that the user gave it; read at each call, since tokens expire."""
    given = {name: value for name, value in dict(client.default_headers).items() if isinstance(value, str)}
    headers = {name: value for name, value in given.items() if not name.lower().startswith(_ITS_OWN)}
    refresh = getattr(client, "_refresh_api_key", None)
    if refresh is not None:
        await asked(refresh)
    headers.update(client.auth_headers)
    token = getattr(client, "_get_azure_ad_token", None)
    found = await asked(token) if token is not None else None
    return headers | ({"authorization": f"Bearer {found}"} if found else {})


async def asked(function: Any) -> Any:
    """The result of a function that may be async, or may block on the network."""
    if inspect.iscoroutinefunction(function):
        return await function()
    found = await asyncio.to_thread(function)
    return await found if inspect.isawaitable(found) else found


AZURE_API_VERSION = "2024-10-21"
"""Azure's newest dated version that is out of preview; ``api_version`` in the options overrides it."""

ENDINGS = ("/chat/completions", "/completions", "/embeddings", "/models", "/responses")


@dataclass(frozen=True)
class Preset:
    """What is known of a host before its first response.

    ``own_hosts``: the only hosts that the namespace's default key may be sent to (endings of host names).
    ``vectors``: the encoding of embeddings (base64 is a tenth of the work of parsing numbers), empty
    where the host may not know the field. ``words``: our parameter -> its names at the host; no name
    means that the host has no such parameter.
    """

    url: str = ""
    url_variable: str = ""
    own_hosts: tuple[str, ...] = ()
    needs_key: bool = False
    key_header: str = "authorization"
    max_tokens: str = "max_tokens"
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    extra_headers: Mapping[str, str] = field(default_factory=dict)
    batch: int = 64
    vectors: str = ""


_NONE: Mapping[str, tuple[str, ...]] = {"top_k": (), "repeat_penalty": ()}
_OPENAI_HEADERS = {"OpenAI-Organization": "OPENAI_ORG_ID", "OpenAI-Project": "OPENAI_PROJECT_ID"}

PRESETS: Mapping[str, Preset] = {
    "openai": Preset(
        url="https://api.openai.com/v1",
        url_variable="OPENAI_BASE_URL",
        own_hosts=("openai.com",),
        needs_key=True,
        max_tokens="max_completion_tokens",
        vectors="base64",
        words=_NONE,
        extra_headers=_OPENAI_HEADERS,
    ),
    "azure": Preset(
        url_variable="AZURE_OPENAI_ENDPOINT",
        own_hosts=("azure.com", "azure.us", "azure.cn", "azure-api.net"),
        needs_key=True,
        key_header="api-key",
        max_tokens="max_completion_tokens",
        vectors="base64",
        words=_NONE,
    ),
    # Nobody knows what stands behind a URL; the two usual names of the repeat penalty go both.
    "custom_url": Preset(words={"repeat_penalty": ("repeat_penalty", "repetition_penalty")}),
    "vllm": Preset(
        url="http://localhost:8000/v1",
        words={"repeat_penalty": ("repetition_penalty",)},
        vectors="base64",
    ),
    # Ollama's /v1 ignores these two; its own API (the default) takes them.
    "ollama": Preset(url="http://localhost:11434/v1", url_variable="OLLAMA_HOST", words=_NONE),
    "hf_endpoint": Preset(
        url="https://router.huggingface.co/v1",
        own_hosts=("huggingface.co", "huggingface.cloud", "hf.co", "hf.space"),
        needs_key=True,
        words=_NONE,
    ),
}


@dataclass(frozen=True)
class Endpoint:
    """One host as it will be called. ``default_key``: the namespace's own key may be sent there."""

    preset: Preset
    base: str
    query: str = ""
    default_key: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)

    def url(self, route: str) -> str:
        """The URL of a route like ``/chat/completions``."""
        return f"{self.base}{route}{self.query}"

    @property
    def host(self) -> str:
        """The host's name, for messages."""
        return urlsplit(self.base).netloc


def endpoint(spec: BackendSpec, environ: Mapping[str, str] | None = None) -> Endpoint:
    """The endpoint of ``spec``.

    Raises:
        UsageError: A namespace without a URL of its own and none given, or an invalid URL.
    """
    environ = os.environ if environ is None else environ
    preset = PRESETS.get(spec.namespace, PRESETS["custom_url"])
    variable = environ.get(preset.url_variable, "") if preset.url_variable else ""
    base = normal_url(spec.base_url or variable or preset.url, spec)
    own = is_own(base, preset) or (not spec.base_url and bool(variable))
    if spec.namespace == "azure":
        return _azure(spec, preset, base, own, environ)
    headers = _organisation(spec, preset, environ) if own else {}
    return Endpoint(preset, base, default_key=own, headers=headers)


def normal_url(text: str, spec: BackendSpec) -> str:
    """A base URL without a trailing slash or route; ``/v1`` is added where there is no path at all."""
    if not text:
        raise UsageError(
            f"{spec.namespace} has no URL of its own.",
            hint=f"%llm_config add NAME --openai URL --id {spec.model or 'MODEL'}",
        )
    if "://" not in text:
        text = f"http://{text}"
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{text!r} is no http URL.", hint="Write it like https://api.example.com/v1")
    if parts.username or parts.password:
        raise UsageError(
            f"the URL of {parts.hostname} holds a user name or password.",
            hint="Give the key by reference instead: --key env:NAME",
        )
    path = parts.path.rstrip("/")
    path = next((path.removesuffix(ending) for ending in ENDINGS if path.endswith(ending)), path)
    if not path and spec.namespace != "azure":
        path = "/v1"
    netloc = parts.netloc
    if spec.namespace == "ollama":
        netloc = _ollama(netloc, parts.port)
    return f"{parts.scheme}://{netloc}{path}"


def _ollama(netloc: str, port: int | None) -> str:
    """A URL from OLLAMA_HOST, which is the server's own address: it may lack a port, or be 0.0.0.0."""
    netloc = netloc if port else f"{netloc}:11434"
    return netloc.replace("0.0.0.0:", "127.0.0.1:")


def is_own(base: str, preset: Preset) -> bool:
    """True where the URL is the provider's own, over https, so that its key may be sent there."""
    parts = urlsplit(base)
    host = parts.hostname or ""
    return parts.scheme == "https" and any(
        host == end or host.endswith(f".{end}") for end in preset.own_hosts
    )


def _organisation(spec: BackendSpec, preset: Preset, environ: Mapping[str, str]) -> dict[str, str]:
    names = {"OpenAI-Organization": "organization", "OpenAI-Project": "project"}
    found = {
        header: str(spec.options.get(names[header]) or environ.get(variable, ""))
        for header, variable in preset.extra_headers.items()
    }
    return {header: value for header, value in found.items() if value}


def _azure(spec: BackendSpec, preset: Preset, base: str, own: bool, environ: Mapping[str, str]) -> Endpoint:
    """Azure's two routes: ``/openai/v1`` without a version, ``/openai/deployments/NAME`` with one."""
    if base.endswith("/openai/v1"):
        return Endpoint(preset, base, default_key=own)
    version = (
        spec.options.get("api_version")
        or environ.get("OPENAI_API_VERSION")
        or environ.get("AZURE_OPENAI_API_VERSION")
        or AZURE_API_VERSION
    )
    deployment = spec.options.get("deployment") or spec.model
    root = base.removesuffix("/openai")
    query = "?" + urlencode({"api-version": version})
    return Endpoint(preset, f"{root}/openai/deployments/{deployment}", query, default_key=own)
