"""Extract as a person uses it, with answers of many shapes: a real kernel and a real host on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from llm_magics.testing import Server
from tests.kernels import Kernel, kernel

ANSWERS = {
    "plain": {"product": "lamp", "unit_price": 5, "bought": "2026-03-05"},
    "envelope": {"answer": {"product": "lamp", "unit_price": 5, "bought": "2026-03-05"}},
    "listed": {"data": [{"product": "lamp", "unit_price": 5, "bought": "2026-03-05"}]},
    "list of one": [{"product": "lamp", "unit_price": 5, "bought": "2026-03-05"}],
    "respelt": {"Product": "lamp", "Unit Price": 5, "Bought": "2026-03-05"},
    "in a string": json.dumps({"product": "lamp", "unit_price": 5, "bought": "2026-03-05"}),
    "signs": {"product": "lamp", "unit_price": "€ 5,00", "bought": "5 March 2026"},
    "nothing said": {"product": "lamp", "unit_price": "N/A", "bought": "unknown"},
    "price unreadable": {"product": "lamp", "unit_price": "cheap", "bought": "2026-03-05"},
    "date ambiguous": {"product": "lamp", "unit_price": 5, "bought": "05/03/2026"},
    "too large": '{"product": "lamp", "unit_price": 1e400, "bought": "2026-03-05"}',
    "none of the fields": {"cost": 5, "item": "lamp"},
    "empty object": {},
}
CELL = """
%%llm extract df.text -o out
product
unit_price float
bought date
"""
FULL = ["lamp", 5.0, "2026-03-05"]
RIGHT = {
    "plain": ("ok", FULL),
    **dict.fromkeys(
        ("envelope", "listed", "list of one", "respelt", "in a string", "signs"), ("repaired", FULL)
    ),
    "nothing said": ("repaired", ["lamp", None, None]),
    "price unreadable": ("repaired", ["lamp", None, "2026-03-05"]),
    "date ambiguous": ("repaired", ["lamp", 5.0, None]),
    "too large": ("repaired", ["lamp", None, "2026-03-05"]),
    "none of the fields": ("failed", [None, None, None]),
    "empty object": ("failed", [None, None, None]),
}


def answer(request: dict[str, Any]) -> str:
    """The answer that the row's text names; the same one when asked again."""
    asked = next(m["content"] for m in request["messages"] if m["content"].startswith("Text:\n"))
    found = ANSWERS[asked.removeprefix("Text:\n")]
    return (
        found if isinstance(found, str) and found.startswith("{") and "1e400" in found else json.dumps(found)
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Kernel, Server]]:
    """One kernel and one server for the file."""
    home = str(tmp_path_factory.mktemp("kernel_home"))
    with Server(answer=answer) as server, kernel({"LLM_MAGICS_HOME": home}) as made:
        made.run("%load_ext llm_magics\nimport pandas as pd, json")
        made.run(f"%llm_config add fast --openai {server.url} --id small\n%llm_config use fast")
        made.run(f"df = pd.DataFrame({{'text': {list(ANSWERS)!r}}})")
        yield made, server


def records(k: Kernel, name: str) -> list[dict[str, Any]]:
    """A frame of the kernel's as records, dates as texts."""
    code = f"print({name}.assign(bought={name}.bought.dt.strftime('%Y-%m-%d')).to_json(orient='records'))"
    return list(json.loads(k.run(code).stdout))


@pytest.mark.checklist("R14", "T14")
def test_answers_of_every_shape_are_read_or_named(world: tuple[Kernel, Server]) -> None:
    """What is there is read; what isn't is null with its reason; nothing is null and a success."""
    k, server = world
    server.forget()
    out = k.run(CELL.strip())
    rows = {row["text"]: row for row in records(k, "out")}
    found = {
        name: (row["extract_status"], [row["product"], row["unit_price"], row["bought"]])
        for name, row in rows.items()
    }
    assert found == RIGHT
    errors = {name: row["extract_error"] for name, row in rows.items() if row["extract_error"]}
    assert errors["price unreadable"].startswith("unit_price is 'cheap'")
    assert errors["date ambiguous"].startswith("bought is '05/03/2026'")
    assert errors["too large"].startswith("unit_price is inf")
    assert errors["none of the fields"].endswith("its keys: 'cost', 'item'")
    assert set(errors) == {
        "price unreadable",
        "date ambiguous",
        "too large",
        "none of the fields",
        "empty object",
    }
    # Each unusable answer was asked for once more, the others once.
    assert len(server.requests) == len(ANSWERS) + len(errors)
    assert "2 failed" in out.text and "repaired" in out.text


@pytest.mark.checklist("T14", "R2")
def test_running_the_cell_again_sends_nothing(world: tuple[Kernel, Server]) -> None:
    """The unusable answers are stored too, and give the same values."""
    k, server = world
    k.run(CELL.strip())
    first, sent = records(k, "out"), len(server.requests)
    k.run(CELL.strip())
    assert records(k, "out") == first
    assert len(server.requests) == sent


@pytest.mark.checklist("T14")
@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_whole_numbers_of_any_size_keep_their_digits(world: tuple[Kernel, Server], library: str) -> None:
    """Beyond 64 bits the column holds Python's integers, or texts where the library has none."""
    k, _ = world
    ANSWERS["large"] = {"number": "123456789012345678901"}  # type: ignore[dict-item]
    ANSWERS["small"] = {"number": 5}  # type: ignore[dict-item]
    k.run("import polars as pl, pyarrow as pa\nbig = pd.DataFrame({'text': ['large', 'small']})")
    frame = {"pandas": "big", "polars": "pl.from_pandas(big)", "pyarrow": "pa.table(big)"}[library]
    k.run(f"big_in = {frame}")
    k.run("%%llm extract big_in.text -o big_out\nnumber int")
    shown = k.run(
        "print([str(n) for n in big_out['number'].to_pylist()] if hasattr(big_out, 'column_names')"
        " else [str(n) for n in big_out['number']])"
    ).stdout.strip()
    assert shown == str(["123456789012345678901", "5"])
