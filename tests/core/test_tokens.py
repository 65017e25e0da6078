"""Token counts: near enough without a tokenizer, any name will do, never the network."""

from __future__ import annotations

import hashlib
import sys
import types
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magics.core import tokens

COUNTED = [
    (24, "The parcel came late, the box was open and one of the two cups was broken. I want my money back."),
    (
        28,
        'def count(text: str, model: str = "") -> int:\n    return len(encoding.encode(text)) if encoding else 0\n',
    ),
    (
        40,
        (
            "Die Lieferung kam zu spät, die Schachtel war offen und eine der beiden Tassen war zerbrochen. Ich "
            "möchte mein Geld zurück, sonst wende ich mich an die Verbraucherzentrale."
        ),
    ),
    (
        33,
        (
            "Посылка пришла с опозданием, коробка была открыта, и одна из двух чашек разбита. Я хотел бы "
            "получить деньги обратно."
        ),
    ),
    (32, "包裹迟到了，盒子是开着的，两个杯子中的一个碎了。我想要退款，否则我会向消费者协会投诉。"),
    (35, "荷物が遅れて届き、箱は開いていて、二つのカップのうち一つが割れていました。返金をお願いします。"),
    (32, "소포가 늦게 도착했고 상자가 열려 있었으며 컵 두 개 중 하나가 깨져 있었습니다. 환불해 주세요."),
    (33, "وصلت الطرد متأخراً وكان الصندوق مفتوحاً وكان أحد الكوبين مكسوراً. أريد استرداد أموالي."),
]
"""Tokens of o200k_base, counted with tiktoken."""


@pytest.mark.parametrize(("counted", "text"), COUNTED)
@pytest.mark.checklist("K8")
def test_near_enough(counted: int, text: str) -> None:
    """Within a quarter of the true count, in any script."""
    assert tokens.estimate_tokens(text) == pytest.approx(counted, rel=0.25)


@given(st.text(), st.text(max_size=20))
@pytest.mark.checklist("K8")
def test_never_fails(text: str, model: str) -> None:
    """Any text and any model name have a count; only nothing has none."""
    count = tokens.count_tokens(text, model)
    assert (count == 0) == (text == "")
    assert count <= 3 * len(text) + 1


@given(st.text(max_size=50), st.text(max_size=50))
def test_more_text_is_not_less(one: str, two: str) -> None:
    """Two texts with a line between take about what they take apart."""
    together = tokens.estimate_tokens(f"{one}\n{two}")
    assert together >= max(tokens.estimate_tokens(one), tokens.estimate_tokens(two)) - 1


def test_lone_surrogate() -> None:
    """Broken text has a count."""
    assert tokens.count_tokens("a \ud800 b") > 0


@pytest.fixture
def tiktoken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A tiktoken of one token a letter; it fails the test where it would go to the network."""

    class Encoding:
        def encode_ordinary(self, text: str) -> list[int]:
            return [1] * len(text)

    def get_encoding(name: str) -> Encoding:
        assert tokens._is_table_on_disk(name), "tiktoken would have fetched its table"
        return Encoding()

    def name_for(model: str) -> str:
        return {"gpt-4": "cl100k_base"}[model]

    module = types.ModuleType("tiktoken")
    module.get_encoding, module.encoding_name_for_model = get_encoding, name_for  # type: ignore[attr-defined]
    module.__spec__ = types.SimpleNamespace(name="tiktoken")  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "tiktoken", module)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    tokens._encoding.cache_clear()
    yield tmp_path
    tokens._encoding.cache_clear()


def table(folder: Path, name: str) -> None:
    url = f"https://openaipublic.blob.core.windows.net/encodings/{name}.tiktoken"
    (folder / hashlib.sha1(url.encode()).hexdigest()).write_bytes(b"x")


def test_without_its_table_tiktoken_is_left_alone(tiktoken: Path) -> None:
    """tiktoken fetches a missing table from the network: then we estimate."""
    assert tokens.count_tokens("abcdefgh", "gpt-4") == 1


def test_with_its_table_tiktoken_counts(tiktoken: Path) -> None:
    """A known name by its own encoding, an unknown one by the newest."""
    table(tiktoken, "cl100k_base")
    table(tiktoken, "o200k_base")
    assert tokens.count_tokens("abcdefgh", "gpt-4") == 8
    assert tokens.count_tokens("abcdefgh", "somebody/else-7b") == 8
