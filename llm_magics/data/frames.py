"""Dataframes of any library: reading their rows, and adding result columns to a copy.

The libraries are pandas, polars and pyarrow; Series and lists are read too. A result is in the library of
its input, with its index and dtypes; the user's frame is never changed. Of a dask frame only the columns
are read here; ``llm_magics.runs.dask_partitions`` computes its rows.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llm_magics.core.errors import NotFound, UsageError
from llm_magics.data.templates import has_unsendable, is_null


@dataclass(frozen=True)
class Frame:
    """A dataframe in the user's library (``native``), and its name in messages.

    ``from_dataframe`` is False for a frame that was made from a Series or a list. ``dask_frame`` is set
    where ``native`` has only the columns of a dask frame and no rows. ``above`` are the upper levels of the
    column that was read, where pandas' columns have several: results stand under them, and the columns there
    go by their name at the last level.
    """

    native: Any
    name: str = "data"
    from_dataframe: bool = True
    dask_frame: Any = None
    above: tuple[Any, ...] = ()

    @property
    def columns(self) -> list[str]:
        """The column names as text, in order."""
        return [self.name_of(key) for key in _narwhal(self.native).columns]

    def name_of(self, key: Any) -> str:
        """Return the name as text of a column by its key, which may be a number or a tuple."""
        return str(key[-1] if isinstance(key, tuple) and self.above and key[:-1] == self.above else key)

    def __len__(self) -> int:
        return int(_narwhal(self.native).shape[0])

    def values(self, column: Any) -> list[Any]:
        """Return one column as Python values, in row order.

        Raises NotFound with similar names, UsageError for a dask frame.
        """
        self.require_whole()
        narwhal, place = _narwhal(self.native), self.columns.index(self.require(column))
        return list(narwhal[:, place].to_list())

    def require(self, column: Any) -> str:
        """Return the column's name as text; raises NotFound with similar names where there is none."""
        name = self.name_of(column)
        if name in self.columns:
            return name
        size = (
            _count_of(len(self), "row")
            if self.dask_frame is None
            else _count_of(self.dask_frame.npartitions, "partition")
        )
        raise NotFound.among("column", name, self.columns, hint=f"{self.name} has {size}.")

    def require_whole(self, what: str = "this") -> None:
        """Raise UsageError for a dask frame, whose rows are not known; ``what`` names the feature."""
        if self.dask_frame is not None:
            raise UsageError(
                f"{what} needs all rows at once; {self.name} is read a partition at a time.",
                hint=f"Give it one that is in memory: {self.name}.compute(), or .get_partition(0).compute().",
            )

    @property
    def holds_mixed(self) -> bool:
        """Whether a column may hold values of several types: pandas' may."""
        return _is_pandas(self.native)

    def holds_text(self, column: str) -> bool:
        """Return whether a column contains texts, judged by its first value that is not null."""
        if self.dask_frame is not None:
            import narwhals as nw

            return bool(_narwhal(self.native).schema[column] in (nw.String, nw.Object))
        first = next((value for value in self.values(column)[:200] if not is_null(value)), None)
        return isinstance(first, str)


def read(data: Any, name: str = "data", on: Any = None) -> tuple[Frame, str | None]:
    """Return the data as a frame, and the column to read: ``on``, or the only one of a Series or list.

    A Series becomes a frame of one column; a list or array of texts becomes a frame with the column
    ``text``. Raises UsageError for anything else, and for a frame without rows or with repeated column
    names; NotFound where there is no column ``on``.
    """
    if isinstance(data, Frame):
        return data, None if on is None else data.require(on)
    if type(data).__module__ == "numpy" and getattr(data, "ndim", 0) == 1:
        data = data.tolist()
    if isinstance(data, list | tuple):
        return _from_list(data, name), on or "text"
    narwhal = _narwhal(data, name)
    series = hasattr(narwhal, "to_frame")
    if series:
        column = str(narwhal.name or "text")
        narwhal, on = narwhal.alias(column).to_frame(), on or column
    above = on[:-1] if isinstance(on, tuple) else ()
    frame = Frame(narwhal.to_native(), name, from_dataframe=not series, above=above)
    if len(frame) == 0:
        raise UsageError(f"{name} has no rows.")
    return frame, None if on is None else frame.require(on)


def read_partitioned(data: Any, name: str = "data", on: Any = None) -> tuple[Frame, str | None]:
    """Like ``read``, but also take a dask frame or Series, of which only the columns are read."""
    if not is_partitioned(data):
        return read(data, name, on)
    parts = data
    if data.ndim == 1:
        on = on or str(data.name or "text")
        parts = data.to_frame(name=on)
    frame = Frame(parts._meta, name, dask_frame=parts)  # noqa: SLF001 - dask's documented name for it
    return frame, None if on is None else frame.require(on)


def is_partitioned(value: Any) -> bool:
    """Return whether a value is a dask frame or Series."""
    kind = type(value)
    return kind.__module__.startswith("dask.dataframe") and kind.__name__ in ("DataFrame", "Series")


def is_data(value: Any) -> bool:
    """Return whether rows can be read from a variable of the notebook."""
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(item, str) for item in value[:20])
    if is_partitioned(value):
        return True
    try:
        _narwhal(value)
    except UsageError:
        return False
    return True


def _from_list(data: Sequence[Any], name: str) -> Frame:
    import pandas as pd

    wrong = next((item for item in data if not isinstance(item, str) and not is_null(item)), None)
    if wrong is not None:
        raise UsageError(
            f"{name} is a list that holds more than texts (a value of type {type(wrong).__name__}).",
            hint=f"Make them texts: [str(value) for value in {name}]",
        )
    if not data:
        raise UsageError(f"{name} has no rows.")
    texts: Any = list(data)
    if any(map(has_unsendable, texts)):  # pandas' own type of texts takes no unpaired surrogates
        texts = pd.Series(texts, dtype=object)
    return Frame(pd.DataFrame({"text": texts}), name, from_dataframe=False)


def _narwhal(native: Any, name: str = "data") -> Any:
    import narwhals as nw

    try:
        return nw.from_native(native, eager_only=True, allow_series=True)
    except nw.exceptions.DuplicateError as error:
        raise UsageError(f"{name} has columns of the same name.", hint="Rename them first.") from error
    except TypeError as error:
        kinds = "a DataFrame (pandas, polars, pyarrow, dask), a Series or a list of texts"
        reading = next((how for how in ("collect", "compute") if hasattr(native, how)), None)
        hint = f"Read it first: {name}.{reading}()" if reading else f"Expected: {kinds}."
        raise UsageError(f"{name} is of type {type(native).__name__}: no rows to read.", hint=hint) from error


def select_rows(
    frame: Frame,
    *,
    where: str | None = None,
    head: int | None = None,
    sample: int | None = None,
    seed: int = 0,
    variables: Mapping[str, Any] | None = None,
) -> Sequence[int]:
    """Return the positions of the rows that a run processes, in ascending order.

    They are the rows that satisfy ``where``, of them the first ``head``, and of these a sample of size
    ``sample``, drawn without replacement by ``seed``. Raises UsageError where no row is left.
    """
    whole: Sequence[int] = range(len(frame))
    chosen = whole if where is None else _rows_where(frame, where, variables or {})
    if head is not None:
        chosen = chosen[:head]
    if sample is not None and sample < len(chosen):
        chosen = sorted(random.Random(seed).sample(chosen, sample))  # noqa: S311 - a reproducible sample
    if not chosen:
        raise UsageError(
            f"no row of {frame.name} is left to ask about.", hint="Look at --where, --head, --sample."
        )
    return chosen


def _rows_where(frame: Frame, expression: str, variables: Mapping[str, Any]) -> list[int]:
    """Return the rows for which an expression in pandas' query language is true, for any library."""
    narwhal = _narwhal(frame.native)
    try:
        found = narwhal.to_pandas().eval(expression, local_dict=dict(variables))
    except Exception as error:
        raise UsageError(
            f"--where {expression!r} can't be read: {error}", hint=_columns_hint(frame)
        ) from error
    mask = found.tolist() if getattr(found, "ndim", 0) == 1 else None
    if mask is None or not all(isinstance(hit, bool) or is_null(hit) for hit in mask):
        equals = "Equal is written ==\n" if re.search(r"(?<![=<>!])=(?!=)", expression) else ""
        raise UsageError(
            f"--where {expression!r} is not true or false for each row.", hint=equals + _columns_hint(frame)
        )
    return [i for i, hit in enumerate(mask) if hit is True]


def _count_of(n: int, what: str) -> str:
    return f"1 {what}" if n == 1 else f"{n:,} {what}s"


def _columns_hint(frame: Frame) -> str:
    return "Columns: " + ", ".join(frame.columns[:20])


def attach(
    frame: Frame,
    columns: Mapping[str, Sequence[Any]],
    categories: Mapping[str, Sequence[Any]] | None = None,
    kinds: Mapping[str, str] | None = None,
) -> Any:
    """Return a new native frame with the old columns, then the new ones (one value per row).

    Whole numbers of more than 64 bits stay Python's integers in pandas, and become texts elsewhere.
    ``categories`` maps a column to its ordered values, for a categorical dtype in pandas. ``kinds`` maps a
    column to its type (``int float bool str date datetime``), which it has even if all values are null.
    """
    too_large = {name for name, values in columns.items() if _exceeds_64_bits(values)}
    kinds = {name: kind for name, kind in (kinds or {}).items() if name not in too_large}
    if _is_pandas(frame.native):
        return _attach_pandas(frame, columns, categories or {}, kinds)
    import narwhals as nw

    for name in too_large:
        columns = {**columns, name: [None if value is None else str(value) for value in columns[name]]}
    narwhal = _narwhal(frame.native)
    backend = narwhal.implementation
    types = {name: getattr(nw, _NARWHALS_TYPES[kind]) for name, kind in kinds.items()}
    series = [
        _vector_series(name, values, backend)
        if _is_vectors(values)
        else nw.new_series(name, _arrays_as_lists(values), types.get(name), backend=backend)
        for name, values in columns.items()
    ]
    return narwhal.with_columns(*series).to_native()


def _exceeds_64_bits(values: Sequence[Any]) -> bool:
    """Return whether a value is an integer that no 64-bit column holds."""
    return any(type(value) is int and not -(2**63) <= value < 2**63 for value in values)


def _is_pandas(native: Any) -> bool:
    return type(native).__module__.split(".")[0] == "pandas"


_NARWHALS_TYPES = {
    "int": "Int64",
    "float": "Float64",
    "bool": "Boolean",
    "str": "String",
    "date": "Date",
    "datetime": "Datetime",
}
_PANDAS_TYPES = {"int": "Int64", "float": "float64", "bool": "boolean", "date": "datetime64[s]"}


def _attach_pandas(
    frame: Frame,
    columns: Mapping[str, Sequence[Any]],
    categories: Mapping[str, Any],
    kinds: Mapping[str, str],
) -> Any:
    import pandas as pd

    native = frame.native
    result = native.copy(deep=False)
    for name, values in columns.items():
        if name in categories:
            column: Any = pd.Categorical(list(values), categories=list(categories[name]))
        elif kinds.get(name) in _PANDAS_TYPES:
            boxed: Any = pd.Series(list(values), dtype=object)
            column = boxed.astype(_PANDAS_TYPES[kinds[name]]).array
        else:
            column = _pandas_array(values)
        result[_column_key(frame, name)] = pd.Series(column, index=native.index)
    return result


def _column_key(frame: Frame, name: str) -> Any:
    """Return the key of a column: its name, or a tuple with the name last where there are several levels."""
    levels = frame.native.columns.nlevels
    above = frame.above if len(frame.above) == levels - 1 else ("",) * (levels - 1)
    return name if levels == 1 else (*above, name)


def _pandas_array(values: Sequence[Any]) -> Any:
    """Return an array in which integers and booleans stay such beside nulls; lists are objects."""
    import numpy as np
    import pandas as pd

    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return pd.array(values, dtype="boolean") if None in values else pd.array(values, dtype="bool")
    if kinds == {int} and _exceeds_64_bits(values):
        return pd.Series(values, dtype=object).array
    if kinds == {int} and None in values:
        return pd.array(values, dtype="Int64")
    if kinds <= {int, float, str}:
        return values if kinds else pd.Series(values, dtype=object)
    # Filled one by one, because numpy would turn lists of equal length into a matrix.
    boxed = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        boxed[i] = value
    return boxed


def _is_vectors(values: Sequence[Any]) -> bool:
    """Return whether all values that are not null are float32 arrays of the same length."""
    shapes = {getattr(value, "shape", None) for value in values if value is not None}
    return len(shapes) == 1 and None not in shapes and all(v is None or v.dtype == "float32" for v in values)


def _vector_series(name: str, values: Sequence[Any], backend: Any) -> Any:
    """Return a series of float32 lists; a million vectors as Python floats would take 8 GB."""
    import narwhals as nw
    import numpy as np

    kind = nw.List(nw.Float32)
    if not backend.is_polars():
        return nw.new_series(name, list(values), kind, backend=backend)
    import polars as pl

    # Polars reads a matrix quickly, but not a list of arrays that contains nulls.
    places = itertools.count()
    rows = pl.Series([None if value is None else next(places) for value in values], dtype=pl.UInt32)
    whole = pl.Series(name, np.stack([value for value in values if value is not None]))
    return nw.from_native(whole.gather(rows), series_only=True).cast(kind)


def _arrays_as_lists(values: Sequence[Any]) -> list[Any]:
    """Turn arrays into lists, from which polars and pyarrow build columns."""
    return [value.tolist() if hasattr(value, "tolist") else value for value in values]


def repeat_rows(frame: Frame, rows: Sequence[int]) -> Frame:
    """Return a frame of the rows at these positions, in this order; positions may repeat."""
    if _is_pandas(frame.native):
        return replace(frame, native=frame.native.iloc[list(rows)])
    return replace(frame, native=_narwhal(frame.native)[list(rows)].to_native())


def require_changeable(frame: Frame) -> None:
    """Raise UsageError where ``--inplace`` is not possible: for anything but a pandas DataFrame."""
    if not frame.from_dataframe:
        raise UsageError(f"--inplace needs a DataFrame; {frame.name} is none.", hint="Use -o NAME.")
    if frame.dask_frame is not None or not _is_pandas(frame.native):
        raise UsageError("--inplace works on pandas frames; others can't be changed.", hint="Use -o NAME.")


def set_inplace(frame: Frame, result: Any, names: Sequence[str]) -> None:
    """Write the columns ``names`` of ``result`` into the user's pandas frame."""
    native = frame.native
    for name in names:
        key = _column_key(frame, name)
        native[key] = result[key].array


def describe_frame(frame: Frame, rows: int = 0) -> str:
    """Return the columns, dtypes and the first ``rows`` rows as text for a prompt."""
    narwhal = _narwhal(frame.native)
    kinds = ", ".join(f"{name} ({kind})" for name, kind in narwhal.schema.items())
    lines = [f"The table {frame.name} has {len(frame):,} rows and the columns {kinds}."]
    if rows:
        lines.append(narwhal.head(rows).to_pandas().to_csv(index=False))
    return "\n".join(lines)
