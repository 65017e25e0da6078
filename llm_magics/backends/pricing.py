"""Prices and context windows of models, and what an answer cost.

Prices and windows come from the library genai-prices: the providers' list prices, standard tier, in US
dollars per million tokens (of a short prompt, where long ones cost more). ``override`` or
``<home>/prices.toml`` (``"openai::name" = "input/output"``) replace them; a price given with a backend comes
before all of them. An unknown name has no price: None, no guess. Nothing here uses the network.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from llm_magics.core.types import FREE, NO_USAGE, Price, Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo

LOCAL = frozenset({"gguf", "transformers", "embedded", "vllm", "vllm_local", "ollama", "echo"})
"""Namespaces whose models run on somebody's own machine."""

PROVIDERS: Mapping[str, str] = {
    "": "openai",
    "openai": "openai",
    "azure": "openai",
    "anthropic": "anthropic",
    "gemini": "google",
    "vertex": "google",
}
"""Namespace -> the provider whose list prices its models have."""

_FINE_TUNED: Mapping[str, Price] = {
    "gpt-4.1": Price(3, 12, 0.75, "2025-04-14", "https://platform.openai.com/docs/pricing"),
    "gpt-4.1-mini": Price(0.8, 3.2, 0.2, "2025-04-14", "https://platform.openai.com/docs/pricing"),
    "gpt-4o": Price(3.75, 15, 1.875, "2024-10-01", "https://platform.openai.com/docs/pricing"),
    "gpt-4o-mini": Price(0.3, 1.2, 0.15, "2024-10-01", "https://platform.openai.com/docs/pricing"),
}
"""Prices of fine-tuned models (``ft:NAME:...``), which the library lacks."""

_WINDOWS: Mapping[str, int] = {
    "gpt-5-chat": 128_000,
    "gemini-2.5-pro": 1_048_576,
    "gemini-3-pro": 1_048_576,
    "gemini-embedding": 2_048,
}
"""Context windows that the library lacks or gives too large, by the beginning of the name."""

_SNAPSHOT = re.compile(r"(-\d{4}-\d{2}-\d{2}|-\d{8}|-\d{3}|@\d{8}|-latest|-chat-latest|-preview)$")
_DATE = re.compile(r"20\d\d-\d\d-\d\d")
_OVERRIDES: dict[str, Price] = {}


def override(name: str, price: Price | None) -> None:
    """Set the price of ``namespace::model`` (a plain name is OpenAI's) for this process; None undoes it."""
    if price is None:
        _OVERRIDES.pop(_plain(name), None)
    else:
        _OVERRIDES[_plain(name)] = price


def price(namespace: str, model: str) -> Price | None:
    """The price of a model, None where it is unknown. A snapshot costs what its model costs."""
    name = _name(namespace, model)
    if namespace in LOCAL:
        return _OVERRIDES.get(name, FREE)
    seller = _name("" if namespace == "azure" else "gemini" if namespace == "vertex" else namespace, model)
    for key in dict.fromkeys((name, seller)):
        for table in (_OVERRIDES, _own_file()):
            found = _lookup(table, key)
            if found is not None:
                return found
    return _list_price(namespace, model)


def _name(namespace: str, model: str) -> str:
    return model if namespace in ("", "openai") else f"{namespace}::{model}"


def _plain(name: str) -> str:
    return name.removeprefix("openai::")


def _lookup(table: Mapping[str, Price], name: str) -> Price | None:
    """The price of the name itself, or of the model that it is a snapshot or a fine-tune of."""
    if name.startswith("ft:"):
        name = ":".join(name.split(":")[:2])
    shorter = _SNAPSHOT.sub("", name)
    return table.get(name) or table.get(shorter) or table.get(_SNAPSHOT.sub("", shorter))


def _list_price(namespace: str, model: str) -> Price | None:
    """The provider's list price of today."""
    if model.startswith("ft:"):
        return _lookup(_FINE_TUNED, model.split(":")[1])
    found = _known(namespace, model)
    if found is None:
        return None
    from datetime import UTC, datetime

    provider, known = found
    prices = known.get_prices(datetime.now(UTC))
    given, made, cached = (
        _dollars(rate) for rate in (prices.input_mtok, prices.output_mtok, prices.cache_read_mtok)
    )
    if given is None:
        return None
    return Price(
        given, made or 0.0, cached, max(_DATE.findall(known.price_comments or ""), default=""), provider
    )


def _dollars(rate: Any) -> float | None:
    """A rate of the library, or its lowest tier, which short prompts have."""
    return None if rate is None else float(getattr(rate, "base", rate))


@cache
def _known(namespace: str, model: str) -> tuple[str, ModelInfo] | None:
    """The library's record of a model and the page of its prices; None for a name that it doesn't list."""
    if namespace not in PROVIDERS or not model:
        return None
    from genai_prices.data_snapshot import get_snapshot

    try:
        provider, known = get_snapshot().find_provider_model(model, None, PROVIDERS[namespace], None)
    except LookupError:
        return None
    return next(iter(provider.pricing_urls or ()), "genai-prices"), known


def priced_models() -> list[str]:
    """The names of models with a list price: ``namespace::model`` of OpenAI, Anthropic and Google."""
    from genai_prices.data_snapshot import get_snapshot

    providers = {"openai": "openai", "anthropic": "anthropic", "google": "gemini"}
    return [
        f"{providers[provider.id]}::{model.id}"
        for provider in get_snapshot().providers
        if provider.id in providers
        for model in provider.models
        if not model.deprecated and _known(providers[provider.id], model.id)
    ]


@cache
def _own_file() -> Mapping[str, Price]:
    """``<home>/prices.toml``, read once; a file that can't be read has no prices."""
    import tomllib

    from llm_magics.settings import quantities
    from llm_magics.settings.config import home_folder

    try:
        told = tomllib.loads((home_folder() / "prices.toml").read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError):
        return {}
    return {_plain(name): quantities.parse_price(str(value)) for name, value in told.items()}


def cost(price: Price | None, given: int, made: int = 0, cached: int = 0) -> float | None:
    """US dollars of so many input tokens (``cached`` of them from the host's cache) and output tokens."""
    if price is None:
        return None
    cheap = price.input if price.cached_input is None else price.cached_input
    cached = min(cached, given)
    return ((given - cached) * price.input + cached * cheap + made * price.output) / 1e6


def priced(usage: Usage, price: Price | None) -> Usage:
    """``usage`` with its cost."""
    if price is None:
        return usage
    paid = cost(price, usage.input_tokens, usage.output_tokens, usage.cached_input_tokens)
    return Usage(usage.input_tokens, usage.output_tokens, usage.cached_input_tokens, paid, usage.estimated)


def total_usage(several: Iterable[Usage]) -> Usage:
    """The sum of usages; its cost is unknown where one of theirs is. What used nothing counts nothing."""
    usages = list(several)
    several = [usage for usage in usages if usage is not NO_USAGE]
    if usages and not several:
        return NO_USAGE
    costs = [usage.cost for usage in several]
    return Usage(
        input_tokens=sum(usage.input_tokens for usage in several),
        output_tokens=sum(usage.output_tokens for usage in several),
        cached_input_tokens=sum(usage.cached_input_tokens for usage in several),
        cost=None if None in costs else sum(c for c in costs if c is not None),
        estimated=any(usage.estimated for usage in several),
    )


def split_usage(usage: Usage, weights: Sequence[int]) -> list[Usage]:
    """``usage`` in parts proportional to ``weights``; the parts add up to the whole."""
    if len(weights) == 1 or usage is NO_USAGE:
        return [usage] * len(weights)
    total = sum(weights) or len(weights)
    upto = list(itertools.accumulate(weights)) if sum(weights) else list(range(1, len(weights) + 1))
    given, made, cached = (
        _parts(whole, upto, total)
        for whole in (usage.input_tokens, usage.output_tokens, usage.cached_input_tokens)
    )
    before = [0, *upto[:-1]]
    costs = [
        None if usage.cost is None else usage.cost * (b - a) / total
        for a, b in zip(before, upto, strict=True)
    ]
    return [Usage(*parts, usage.estimated) for parts in zip(given, made, cached, costs, strict=True)]


def _parts(whole: int, upto: Sequence[int], total: int) -> list[int]:
    """Integers that add up to ``whole``, by the running sums ``upto`` of ``total``."""
    marks = [0, *(round(whole * mark / total) for mark in upto)]
    return [b - a for a, b in itertools.pairwise(marks)]


def context_window(namespace: str, model: str) -> int | None:
    """The context window of a model in tokens, None where it is unknown."""
    if namespace in LOCAL:
        return None
    base = model.split(":")[1] if model.startswith("ft:") else model
    ours = next((size for start, size in _WINDOWS.items() if base.startswith(start)), None)
    found = _known(namespace, base) if ours is None else None
    return ours if found is None else found[1].context_window


@cache
def openai_models() -> tuple[str, ...]:
    """The model names in the installed ``openai`` package: chat, then embeddings; empty without it."""
    try:
        from openai.types.embedding_model import EmbeddingModel
        from openai.types.shared.chat_model import ChatModel
    except ImportError:
        return ()
    return (*_literals(ChatModel), *_literals(EmbeddingModel))


def _literals(alias: Any) -> tuple[str, ...]:
    return tuple(str(name) for name in getattr(alias, "__args__", ()))
