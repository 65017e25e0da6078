"""Slices over whatever a column holds."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magics import ConceptSet
from llm_magics.core.errors import NotFound, UsageError
from llm_magics.core.types import Concept
from llm_magics.tasks.concepts.model.documents import Documents
from llm_magics.tasks.concepts.model.scores import Score
from llm_magics.tasks.concepts.model.slices import MISSING, OTHER, slicing


@pytest.mark.checklist("W4")
@pytest.mark.parametrize(
    ("values", "groups"),
    [
        (["b", "a", "b", None], ("b", "a", MISSING)),
        ([True, False, None, True], ("yes", "no", MISSING)),
        ([1, 2, 3, 2, float("nan")], ("1", "2", "3", MISSING)),
        (list(range(100)), ("< 20", "20 to < 40", "40 to < 60", "60 to < 80", "≥ 80")),
        ([dt.date(2020, 1, 5), dt.date(2023, 7, 1), None], ("2020-01-05", "2023-07-01", MISSING)),
        ([f"{y}-01-01" for y in range(2000, 2010)], tuple(f"{y}-01-01" for y in range(2000, 2010))),
        (
            [dt.datetime(2020, m, d) for m in range(1, 7) for d in (1, 9, 20)],
            tuple(f"2020-0{m}" for m in range(1, 7)),
        ),
        (
            [dt.date(y, 1, 1) for y in range(1900, 2020)],
            ("1900–1909", *(f"{y}–{y + 9}" for y in range(1910, 2020, 10))),
        ),
        ([None, None], (MISSING,)),
        ([5, 5, 5], ("5",)),
    ],
)
def test_every_kind_of_column_falls_into_groups(values: list[object], groups: tuple[str, ...]) -> None:
    """Categories, truth values, numbers, dates, ISO dates; missing values are a group of their own."""
    made = slicing("c", values)
    assert made.groups == groups
    assert sum(made.sizes) == len(values)


@pytest.mark.checklist("W4")
def test_bounds_are_the_users_own() -> None:
    """Bounds cut numbers where they say, below the first and from the last on too."""
    made = slicing("n", [1, 10, 50, 99, None], bounds=[10, 50])
    assert made.groups == ("< 10", "10 to < 50", "≥ 50", MISSING) and made.sizes == [1, 1, 2, 1]
    with pytest.raises(UsageError):
        slicing("c", ["a"], bounds=[1])


def test_many_categories_keep_the_largest() -> None:
    """The rest is one group."""
    made = slicing("c", [f"c{n % 40}" for n in range(400)] + ["c7"] * 50)
    assert len(made.groups) == 12 and made.groups[0] == "c7" and made.groups[-1] == OTHER


@given(
    st.lists(
        st.one_of(st.none(), st.integers(), st.floats(), st.booleans(), st.text(), st.dates()), max_size=40
    )
)
def test_no_column_breaks_it(values: list[object]) -> None:
    """Mixed columns too: every row is in exactly one group."""
    made = slicing("c", values)
    assert len(made.codes) == len(values) and sum(made.sizes) == len(values)
    assert all(0 <= code < len(made.groups) for code in made.codes)


@pytest.mark.checklist("W2")
def test_the_matrix_counts_and_normalises_both_ways() -> None:
    """Counts; shares of the concept's matches; shares of the slice's documents. Slicing changes no default."""
    data = pd.DataFrame({"t": ["x"] * 6, "s": ["a", "a", "a", "a", "b", "b"]})
    themes = ConceptSet([Concept("", "c")], Documents.read(data, "t"))
    themes.put_scores("c", {row: Score(float(row in (0, 1, 4))) for row in range(6)})
    assert themes.matrix("s").loc["c"].to_dict() == {"all": 3, "a": 2, "b": 1}
    assert themes.matrix("s", "concept").loc["c"].round(2).to_dict() == {"all": 1.0, "a": 0.67, "b": 0.33}
    assert themes.matrix("s", "slice").loc["c"].to_dict() == {"all": 0.5, "a": 0.5, "b": 0.5}
    assert list(themes.matrix().columns) == ["all"]
    assert themes.rows("c", ("s", "b")) == [4]
    with pytest.raises(NotFound):
        themes.rows("c", ("s", "z"))
