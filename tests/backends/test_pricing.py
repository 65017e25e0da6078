"""Prices: dated, overridable, never guessed; what an answer cost."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magics.backends import pricing
from llm_magics.core.types import FREE, Price, Usage


@pytest.fixture(autouse=True)
def no_overrides() -> None:
    """Prices set by one test are not there for the next."""
    pricing._OVERRIDES.clear()
    pricing._own_file.cache_clear()
    yield
    pricing._OVERRIDES.clear()
    pricing._own_file.cache_clear()


@pytest.mark.checklist("K7")
def test_every_list_price_has_a_source_and_its_day_where_that_is_known() -> None:
    """A price without a source is a rumour; the library dates those prices that were checked by hand."""
    names = pricing.priced_models()
    assert len(names) > 100
    prices = {name: pricing.price(*name.split("::")) for name in names}
    dated = [price.date for price in prices.values() if price is not None and price.date]
    assert all(date.fromisoformat(day) for day in dated) and len(dated) > 20
    for name, price in prices.items():
        assert price is None or price.source.startswith("https://"), name
        assert price is None or price.cached_input is None or price.cached_input <= price.input, name


@pytest.mark.parametrize(
    ("namespace", "model", "given_price"),
    [
        ("openai", "gpt-4o-mini", 0.15),
        ("openai", "gpt-4o-mini-2024-07-18", 0.15),
        ("openai", "gpt-4o-2024-05-13", 5),
        ("openai", "gpt-5-chat-latest", 1.25),
        ("openai", "ft:gpt-4o-mini-2024-07-18:acme::abc123", 0.3),
        ("azure", "gpt-4o", 2.5),
        ("anthropic", "claude-sonnet-4-5-20250929", 3),
        ("anthropic", "claude-3-5-haiku-latest", 0.8),
        ("gemini", "gemini-2.5-flash", 0.3),
        ("vertex", "gemini-2.5-flash", 0.3),
        ("openai", "text-embedding-3-small", 0.02),
    ],
)
@pytest.mark.checklist("K7")
def test_known(namespace: str, model: str, given_price: float) -> None:
    """Names, snapshots, fine-tunes, and the clouds that resell."""
    found = pricing.price(namespace, model)
    assert found is not None
    assert found.input == given_price


@pytest.mark.parametrize(
    ("namespace", "model"),
    [
        ("openai", "gpt-99"),
        ("openai", "gpt-5-mini-of-mine"),
        ("custom_url", "gpt-4o"),
        ("gemini", "gpt-4o"),
        ("nobody", "x"),
        ("openai", ""),
    ],
)
@pytest.mark.checklist("K1", "K7")
def test_unknown(namespace: str, model: str) -> None:
    """What is not in the table has no price; the same name at another host has none either."""
    assert pricing.price(namespace, model) is None


@pytest.mark.parametrize("namespace", sorted(pricing.LOCAL))
@pytest.mark.checklist("K7")
def test_local_is_free(namespace: str) -> None:
    """Models on one's own machine cost nothing."""
    assert pricing.price(namespace, "anything") == FREE


@pytest.mark.checklist("K7")
def test_override() -> None:
    """The user's price comes first, for the table's models, for unknown ones, for local ones."""
    for name, (namespace, model) in {
        "gpt-4o": ("openai", "gpt-4o"),
        "openai::gpt-4o": ("openai", "gpt-4o"),
        "custom_url::mine": ("custom_url", "mine"),
        "vllm::mine": ("vllm", "mine"),
    }.items():
        pricing.override(name, Price(7, 8))
        assert pricing.price(namespace, model) == Price(7, 8)
        pricing.override(name, None)
        assert pricing.price(namespace, model) != Price(7, 8)


@pytest.mark.checklist("K7")
def test_own_file(own_home: Path) -> None:
    """``prices.toml`` in the home folder; one that can't be read changes nothing."""
    (own_home / "prices.toml").write_text('"gpt-4o" = "1/2"\n"custom_url::mine" = "0.5/1"\n')
    assert pricing.price("openai", "gpt-4o").input == 1
    assert pricing.price("custom_url", "mine").output == 1
    pricing._own_file.cache_clear()
    (own_home / "prices.toml").write_text("not toml at all [")
    assert pricing.price("openai", "gpt-4o").input == 2.5


def test_cost() -> None:
    """Cached input at its own price, or at the full one where it has none."""
    assert pricing.cost(Price(2, 8, 0.5), 1_000_000, 500_000, 400_000) == pytest.approx(1.2 + 0.2 + 4)
    assert pricing.cost(Price(2, 8), 1_000_000, 0, 400_000) == pytest.approx(2)
    assert pricing.cost(None, 5) is None


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6)), max_size=9))
@pytest.mark.checklist("K2")
def test_the_sum_is_the_sum(rows: list[tuple[int, int, int]]) -> None:
    """What rows cost one by one is what they cost together; never negative."""
    price = Price(0.15, 0.6, 0.075)
    each = [pricing.priced(Usage(*row), price) for row in rows]
    whole = pricing.total_usage(each)
    assert whole.cost == pytest.approx(sum(usage.cost or 0 for usage in each))
    assert whole.input_tokens == sum(row[0] for row in rows)
    assert all((usage.cost or 0) >= 0 for usage in each)


def test_one_unknown_makes_the_sum_unknown() -> None:
    """A total that leaves something out is not shown as the total."""
    assert pricing.total_usage([Usage(1, 1, cost=0.1), Usage(1, 1)]).cost is None


@pytest.mark.parametrize(
    ("model", "window"),
    [
        ("gpt-4o-mini", 128_000),
        ("gpt-4", 8_192),
        ("gpt-4-32k-0613", 32_000),
        ("gpt-5-chat-latest", 128_000),
        ("gpt-5-mini", 400_000),
        ("ft:gpt-4.1:acme::x", 1_000_000),
        ("llama-9", None),
    ],
)
def test_windows(model: str, window: int | None) -> None:
    """How much a model reads, by the longest beginning that is known."""
    assert pricing.context_window("openai", model) == window


def test_names_of_the_sdk() -> None:
    """The names that the installed openai package lists."""
    names = pricing.openai_models()
    assert "gpt-4o-mini" in names
    assert "text-embedding-3-small" in names
