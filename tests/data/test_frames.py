"""Frames come back as what they were, and the user's own is never touched."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from llm_magics.core.errors import NotFound, UsageError
from llm_magics.data import frames

TEXTS = ["a", None, "c"]


def three() -> list:
    data = {"text": TEXTS, "n": [1, 2, 3]}
    return [pd.DataFrame(data), pl.DataFrame(data), pa.table(data)]


@pytest.mark.checklist("X9")
@pytest.mark.parametrize("native", three(), ids=["pandas", "polars", "pyarrow"])
def test_a_frame_comes_back_in_its_own_library(native: object) -> None:
    """Rows out, columns back, the same type, the input as it was."""
    frame, on = frames.read(native, "data", "text")
    result = frames.attach(frame, {"label": ["x", None, "y"], "v": [[1.0], None, [2.0]]})
    assert type(result) is type(native)
    assert on == "text"
    assert [None if frames.is_null(v) else v for v in frame.values("text")] == TEXTS
    assert list(frames.read(result)[0].columns) == ["text", "n", "label", "v"]
    assert frames.read(native)[0].columns == ["text", "n"]


@pytest.mark.checklist("R11", "N11")
def test_a_pandas_index_with_duplicates_survives() -> None:
    """Values go by position; index, dtypes and the user's frame stay."""
    native = pd.DataFrame({"text": ["a", "b", "c"], "k": pd.Categorical(["x", "y", "x"])}, index=[7, 7, 1])
    before = native.copy(deep=True)
    result = frames.attach(frames.read(native)[0], {"label": ["1", "2", "3"]}, {"label": ["3", "2", "1"]})
    assert result.index.tolist() == [7, 7, 1]
    assert result["label"].tolist() == ["1", "2", "3"]
    assert result["label"].cat.categories.tolist() == ["3", "2", "1"]
    pd.testing.assert_frame_equal(native, before)
    assert result["k"].dtype == before["k"].dtype


def test_nullable_kinds_are_kept() -> None:
    """Whole numbers stay whole beside nulls; vectors stay arrays."""
    frame, _ = frames.read(pd.DataFrame({"t": ["a", "b"]}))
    vector = np.ones(3, dtype=np.float32)
    result = frames.attach(frame, {"i": [1, None], "b": [True, None], "v": [vector, None], "e": [None, None]})
    assert str(result["i"].dtype) == "Int64"
    assert str(result["b"].dtype) == "boolean"
    assert result["v"][0] is vector
    assert result["e"].isna().all()


@pytest.mark.parametrize("native", three(), ids=["pandas", "polars", "pyarrow"])
def test_rows_are_chosen_by_where_head_and_sample(native: object) -> None:
    """--where is true rows only; --sample is seeded."""
    frame, _ = frames.read(native)
    assert frames.select_rows(frame, where="n >= 2") == [1, 2]
    assert frames.select_rows(frame, where="n >= 2", head=1) == [1]
    first = frames.select_rows(frame, sample=2, seed=5)
    assert first == frames.select_rows(frame, sample=2, seed=5) == sorted(first)


def test_where_sees_notebook_variables_and_refuses_what_is_no_condition() -> None:
    """@name as pandas users know it; anything else is one clear error."""
    frame, _ = frames.read(pd.DataFrame({"n": [1, 2]}), "d")
    assert frames.select_rows(frame, where="n > @low", variables={"low": 1}) == [1]
    for bad in ("n +", "n + 1", "missing > 1"):
        with pytest.raises(UsageError, match="--where"):
            frames.select_rows(frame, where=bad)
    with pytest.raises(UsageError, match="no row"):
        frames.select_rows(frame, where="n > 5")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"a": 1}, "of type dict: no rows"),
        (5, "of type int: no rows"),
        ([1, 2], "a value of type int"),
        ([], "no rows"),
        (pd.DataFrame({"t": []}), "no rows"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "same name"),
    ],
)
def test_what_is_no_data_is_one_clear_error(data: object, said: str) -> None:
    """Before anything is sent."""
    with pytest.raises(UsageError, match=said):
        frames.read(data, "x")


def test_a_missing_column_names_the_near_ones() -> None:
    """The error of example 14."""
    with pytest.raises(NotFound, match="no column 'txt'") as raised:
        frames.read(pd.DataFrame({"text": ["a"]}), "reviews", "txt")
    assert "'text'" in raised.value.hint


def test_a_series_and_a_list_are_frames_of_one_column() -> None:
    """Their name is the column."""
    frame, on = frames.read(pd.Series(["a", "b"], name="body", index=[3, 4]))
    assert (on, frame.columns, frame.native.index.tolist()) == ("body", ["body"], [3, 4])
    frame, on = frames.read(["a", None])
    assert (on, len(frame)) == ("text", 2)


def test_only_pandas_frames_change_in_place() -> None:
    """Others say what to use instead, as do Series and lists."""
    native = pd.DataFrame({"t": ["a"]})
    frames.require_changeable(frames.read(native)[0])
    frames.set_inplace(frames.Frame(native), native.assign(label="x"), ["label"])
    assert native["label"].tolist() == ["x"]
    with pytest.raises(UsageError, match="pandas"):
        frames.require_changeable(frames.read(pl.DataFrame({"t": ["a"]}))[0])
    for data in (native["t"], ["a"]):
        with pytest.raises(UsageError, match="DataFrame"):
            frames.require_changeable(frames.read(data)[0])


@pytest.mark.parametrize("columns", [[0, 1], [("a", "b"), ("a", "c")], [1.5, None]])
def test_columns_go_by_their_names_as_text(columns: list[object]) -> None:
    """Numbers and the tuples of a MultiIndex too; results stand beside them."""
    native = pd.DataFrame([["x", "y"]])
    native.columns = pd.Index(columns)
    frame, _ = frames.read(native)
    assert [frame.values(name) for name in frame.columns] == [["x"], ["y"]]
    assert frames.attach(frame, {"label": ["z"]}).iloc[0].tolist() == ["x", "y", "z"]


@pytest.mark.checklist("G9", "X9")
@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_vectors_are_lists_of_float32(library: str) -> None:
    """Not of Python's numbers, twice and more as large; nulls stay nulls, also the first and all of them."""
    native = pl.DataFrame({"t": list("abcd")}) if library == "polars" else pa.table({"t": list("abcd")})
    vectors = [None, np.array([0.1, 0.2], "f4"), None, np.array([0.3, 0.4], "f4")]
    made = frames.attach(frames.Frame(native), {"v": vectors, "none": [None] * 4})
    column = made["v"]
    assert str(column.dtype if library == "polars" else column.type) in ("List(Float32)", "list<item: float>")
    found = column.to_list() if library == "polars" else column.to_pylist()
    assert found[0] is found[2] is None
    assert np.array_equal(np.array([found[1], found[3]], "f4"), np.array(vectors[1::2]))


def test_where_with_one_equals_sign_says_how_equal_is_written() -> None:
    frame = frames.Frame(pd.DataFrame({"n": [1, 2]}))
    with pytest.raises(UsageError, match="not true or false") as raised:
        frames.select_rows(frame, where="n = 2")
    assert "Equal is written ==" in str(raised.value)
    with pytest.raises(UsageError, match="not true or false") as raised:
        frames.select_rows(frame, where="n + 1")
    assert "==" not in str(raised.value)
