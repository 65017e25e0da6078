"""Prices by model, dated; names and context windows of models; what an answer cost.

The numbers are the providers' own list prices at ``Price.date``, standard tier, in US dollars per million
tokens (of a short prompt, where long ones cost more). ``override`` or ``<home>/prices.toml``
(``"openai::name" = "input/output"``) replace them; a price given with a backend comes before all of them.
An unknown name has no price: None, no guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from llm_magics.core.types import FREE, Price, Usage

LOCAL = frozenset({"gguf", "transformers", "embedded", "vllm", "vllm_local", "ollama", "echo"})
"""Namespaces whose models run on somebody's own machine."""

_PAGES = {
    "": "https://platform.openai.com/docs/pricing",
    "anthropic": "https://docs.anthropic.com/en/docs/about-claude/pricing",
    "gemini": "https://ai.google.dev/gemini-api/docs/pricing",
}
_SAME_AS = {"openai": "", "azure": "", "vertex": "gemini"}
"""Namespaces that serve another's models at its list prices."""

_TABLE = """
gpt-5.6-sol             5     30     0.5    2026-06-26
gpt-5.6-terra           2.5   15     0.25   2026-06-26
gpt-5.6-luna            1     6      0.1    2026-06-26
gpt-5.5                 5     30     0.5    2026-06-04
gpt-5.5-pro             30    180    -      2026-06-04
gpt-5.4                 2.5   15     0.25   2026-06-04
gpt-5.4-pro             30    180    -      2026-06-04
gpt-5.4-mini            0.75  4.5    0.075  2026-06-04
gpt-5.4-nano            0.2   1.25   0.02   2026-06-04
gpt-5.2                 1.75  14     0.175  2025-12-11
gpt-5.2-pro             21    168    -      2025-12-11
gpt-5.1                 1.25  10     0.125  2025-11-13
gpt-5                   1.25  10     0.125  2025-08-07
gpt-5-mini              0.25  2      0.025  2025-08-07
gpt-5-nano              0.05  0.4    0.005  2025-08-07
gpt-4.1                 2     8      0.5    2025-04-14
gpt-4.1-mini            0.4   1.6    0.1    2025-04-14
gpt-4.1-nano            0.1   0.4    0.025  2025-04-14
o4-mini                 1.1   4.4    0.275  2025-04-16
o3                      2     8      0.5    2025-06-10
o3-mini                 1.1   4.4    0.55   2025-01-31
o1                      15    60     7.5    2024-12-17
o1-mini                 1.1   4.4    0.55   2025-01-31
gpt-4o                  2.5   10     1.25   2024-10-01
gpt-4o-2024-05-13       5     15     -      2024-05-13
gpt-4o-mini             0.15  0.6    0.075  2024-10-01
chatgpt-4o-latest       5     15     -      2024-08-15
gpt-4-turbo             10    30     -      2024-04-09
gpt-4-0125-preview      10    30     -      2024-01-25
gpt-4-1106-preview      10    30     -      2023-11-06
gpt-4                   30    60     -      2023-06-13
gpt-4-0314              30    60     -      2023-06-13
gpt-4-0613              30    60     -      2023-06-13
gpt-4-32k               60    120    -      2023-06-13
gpt-3.5-turbo           0.5   1.5    -      2024-01-25
gpt-3.5-turbo-0125      0.5   1.5    -      2024-01-25
gpt-3.5-turbo-1106      1     2      -      2023-11-06
gpt-3.5-turbo-16k       3     4      -      2023-06-13
ft:gpt-4.1              3     12     0.75   2025-04-14
ft:gpt-4.1-mini         0.8   3.2    0.2    2025-04-14
ft:gpt-4o               3.75  15     1.875  2024-10-01
ft:gpt-4o-mini          0.3   1.2    0.15   2024-10-01
ft:gpt-3.5-turbo        3     6      -      2024-01-25
text-embedding-3-small  0.02  0      -      2024-01-25
text-embedding-3-large  0.13  0      -      2024-01-25
text-embedding-ada-002  0.1   0      -      2023-06-13
anthropic::claude-opus-4-8     5     25    0.5   2026-05-29
anthropic::claude-opus-4-7     5     25    0.5   2026-05-29
anthropic::claude-opus-4-6     5     25    0.5   2026-03-21
anthropic::claude-sonnet-4-6   3     15    0.3   2026-03-21
anthropic::claude-opus-4-5     5     25    0.5   2025-11-24
anthropic::claude-sonnet-4-5   3     15    0.3   2025-09-29
anthropic::claude-haiku-4-5    1     5     0.1   2025-10-15
anthropic::claude-opus-4-1     15    75    1.5   2025-08-05
anthropic::claude-opus-4       15    75    1.5   2025-05-22
anthropic::claude-sonnet-4     3     15    0.3   2025-05-22
anthropic::claude-3-7-sonnet   3     15    0.3   2025-02-24
anthropic::claude-3-5-sonnet   3     15    0.3   2024-10-22
anthropic::claude-3-5-haiku    0.8   4     0.08  2024-12-18
anthropic::claude-3-opus       15    75    1.5   2024-03-04
anthropic::claude-3-haiku      0.25  1.25  0.03  2024-03-13
gemini::gemini-3.5-flash       1.5   9     -     2026-07-04
gemini::gemini-3.1-pro         2     12    0.2   2026-07-04
gemini::gemini-3.1-flash-lite  0.25  1.5   0.025 2026-05-15
gemini::gemini-3-flash         0.5   3     0.05  2026-07-04
gemini::gemini-3-pro-preview   2     12    0.2   2025-11-18
gemini::gemini-2.5-pro         1.25  10    0.125 2025-11-18
gemini::gemini-2.5-flash       0.3   2.5   0.03  2025-11-18
gemini::gemini-2.5-flash-lite  0.1   0.4   0.01  2025-11-18
gemini::gemini-2.0-flash       0.1   0.4   0.025 2025-02-25
gemini::gemini-2.0-flash-lite  0.075 0.3   -     2025-02-25
gemini::gemini-embedding-001   0.15  0     -     2025-07-14
"""

_WINDOWS: Mapping[str, int] = {
    "gpt-5-chat": 128_000,
    "gpt-5": 400_000,
    "gpt-5.4": 1_000_000,
    "gpt-5.5": 1_000_000,
    "gpt-4.1": 1_047_576,
    "gpt-4o": 128_000,
    "chatgpt-4o": 128_000,
    "gpt-4-turbo": 128_000,
    "gpt-4-1106": 128_000,
    "gpt-4-0125": 128_000,
    "gpt-4-32k": 32_768,
    "gpt-4": 8_192,
    "gpt-3.5-turbo": 16_385,
    "o1-mini": 128_000,
    "o1": 200_000,
    "o3": 200_000,
    "o4-mini": 200_000,
    "text-embedding": 8_191,
    "claude-3": 200_000,
    "claude-haiku-4": 200_000,
    "claude-opus-4": 200_000,
    "claude-opus-4-6": 1_000_000,
    "claude-opus-4-7": 1_000_000,
    "claude-opus-4-8": 1_000_000,
    "claude-sonnet-4": 200_000,
    "claude-sonnet-4-6": 1_000_000,
    "gemini-embedding": 2_048,
    "gemini": 1_048_576,
}
"""Tokens a model reads, by the beginning of its name; the longest beginning counts."""

_SNAPSHOT = re.compile(r"(-\d{4}-\d{2}-\d{2}|-\d{8}|-\d{3}|@\d{8}|-latest|-chat-latest|-preview)$")
_OVERRIDES: dict[str, Price] = {}


def _rows() -> Iterable[tuple[str, Price]]:
    for line in _TABLE.split("\n"):
        if line:
            name, given, made, cached, date = line.split()
            page = _PAGES[name.partition("::")[0] if "::" in name else ""]
            kept = None if cached == "-" else float(cached)
            yield name, Price(float(given), float(made), kept, date, page)


PRICES: Mapping[str, Price] = dict(_rows())
"""The table: ``namespace::model``, OpenAI's models by their name alone."""


def override(name: str, price: Price | None) -> None:
    """Set the price of ``namespace::model`` (a plain name is OpenAI's) for this process; None undoes it."""
    if price is None:
        _OVERRIDES.pop(_plain(name), None)
    else:
        _OVERRIDES[_plain(name)] = price


def price(namespace: str, model: str) -> Price | None:
    """The price of a model, None where it is unknown. Snapshots cost what their model costs."""
    if namespace in LOCAL:
        return _OVERRIDES.get(_name(namespace, model), FREE)
    for name in dict.fromkeys((_name(namespace, model), _name(_SAME_AS.get(namespace, namespace), model))):
        for table in (_OVERRIDES, _own_file(), PRICES):
            found = _lookup(table, name)
            if found is not None:
                return found
    return None


def _name(namespace: str, model: str) -> str:
    return model if namespace in ("", "openai") else f"{namespace}::{model}"


def _plain(name: str) -> str:
    return name.removeprefix("openai::")


def _lookup(table: Mapping[str, Price], name: str) -> Price | None:
    """The name itself, or the model it is a snapshot or a fine-tune of."""
    if name.startswith("ft:"):
        name = ":".join(name.split(":")[:2])
    shorter = _SNAPSHOT.sub("", name)
    return table.get(name) or table.get(shorter) or table.get(_SNAPSHOT.sub("", shorter))


@cache
def _own_file() -> Mapping[str, Price]:
    """``<home>/prices.toml``, read once; a file that can't be read has no prices."""
    import tomllib

    from llm_magics.settings import quantities
    from llm_magics.settings.config import home

    try:
        told = tomllib.loads((home() / "prices.toml").read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError):
        return {}
    return {_plain(name): quantities.price(str(value)) for name, value in told.items()}


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
    """The sum of usages; its cost is unknown where one of theirs is."""
    several = list(several)
    costs = [usage.cost for usage in several]
    return Usage(
        input_tokens=sum(usage.input_tokens for usage in several),
        output_tokens=sum(usage.output_tokens for usage in several),
        cached_input_tokens=sum(usage.cached_input_tokens for usage in several),
        cost=None if None in costs else sum(c for c in costs if c is not None),
        estimated=any(usage.estimated for usage in several),
    )


def context_window(namespace: str, model: str) -> int | None:
    """How many tokens a model reads, None where that is unknown."""
    if namespace in LOCAL:
        return None
    base = model.split(":")[1] if model.startswith("ft:") else model
    fits = [start for start in _WINDOWS if base.startswith(start)]
    return _WINDOWS[max(fits, key=len)] if fits else None


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
