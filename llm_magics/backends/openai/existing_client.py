"""An ``openai`` client that the user configured lends its URL, its headers and its key."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any
from urllib.parse import urlencode

from llm_magics.backends.openai.presets import Endpoint, Preset

_ITS_OWN = ("x-stainless-", "user-agent", "accept", "content-type")
"""Headers by which the package speaks of itself."""


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
    """The client's key and the headers that the user gave it; asked anew, as its tokens run out."""
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
    """What a function gives that may be async, or may block on the network."""
    if inspect.iscoroutinefunction(function):
        return await function()
    found = await asyncio.to_thread(function)
    return await found if inspect.isawaitable(found) else found
