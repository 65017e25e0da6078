"""The options of every run, and of every run over the rows of a frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from llm_magics.options.line_parser import parameter
from llm_magics.options.option import option, options_record
from llm_magics.options.values import amount, count, count_or_zero, rate

FORMATS = ("table", "df", "md", "json", "text", "widget")
"""The forms in which a cell can show a result."""

Policy = Literal["truncate", "split", "fail"]
"""What becomes of a row that the model can't read whole."""

POLICIES: tuple[Policy, ...] = ("truncate", "split", "fail")


@options_record
class RunOptions:
    """The options of every run: its result, model, limits, and how it is executed."""

    without_flags: ClassVar[frozenset[str]] = frozenset()
    """Options that the subcommand's line lacks, although the Python function has them."""

    random_state: int = option("seeds all chance in the run (default 0)", default=0, metavar="S", parse=int)
    into: str | None = option(
        "bind the result to this name, on success only",
        default=None,
        flags="-o --into",
        metavar="NAME",
        python=False,
    )
    inplace: bool = option("add the columns to your own frame", default=False)
    output: str | None = option("name of the new column", default=None, flags="--as", metavar="COL")
    format: str | None = option(
        "how to show the result", default=None, flags="-f --format", choices=FORMATS, python=False
    )
    quiet: bool = option("show nothing but errors", default=False, flags="-q --quiet", python=False)
    model: Any = option(
        "registered name, alias, namespace::model; a,b for both",
        default=None,
        flags="-m --model",
        metavar="NAME",
    )
    parameters: Mapping[str, Any] | None = option(
        "temperature=0.2, repeatable", default=None, flags="-p", metavar="K=V", parse=parameter, repeat=True
    )
    too_long: Policy | None = option(
        "rows the model can't read whole: cut, read in parts, or fail", default=None, choices=POLICIES
    )
    room: int | None = option("tokens of a row's text at most", default=None, metavar="TOKENS", parse=count)
    rows_per_request: int | None = option(
        "N rows share a request (default 1)", default=None, metavar="N", parse=count
    )
    max_cost: float | None = option("stop before this is passed", default=None, metavar="USD", parse=amount)
    yes: bool = option("go on although the estimate is high", default=False)
    concurrency: int | None = option("requests in flight", default=None, metavar="N", parse=count)
    rpm: float | None = option("requests a minute", default=None, metavar="N", parse=rate)
    tpm: float | None = option("tokens a minute", default=None, metavar="N", parse=rate)
    retries: int | None = option(
        "tries after a fault that may pass (default 5)", default=None, metavar="N", parse=count_or_zero
    )
    on_error: Literal["null", "raise"] | None = option(
        "a failed row is null, or stops the run", default=None, choices=("null", "raise")
    )
    dry_run: bool = option(
        "rows, tokens, cost, first prompt; sends nothing", default=False, flags="-n --dry-run"
    )
    refresh: bool = option("ask again although answers are stored", default=False)
    store: bool = option("keep no answer on disk", default=True, flags="--no-store", switch=False)
    background: bool = option("return at once with a job", default=False, flags="-b --background")
    show_code: bool = option("the same as Python, sends nothing", default=False, python=False)
    progress: bool = option("show how far the run is", default=True, flags="")
    variables: Mapping[str, Any] | None = option(
        "values of {@name} in templates and of @name in where", default=None, flags=""
    )
    name: str = option("what messages call the data", default="data", flags="")


@options_record
class RowOptions(RunOptions):
    """The options of every run over the rows of a frame: the data, and which of its rows."""

    data: Any = option(
        "a DataFrame (pandas, polars, pyarrow), a Series or a list of texts", flags="", kw_only=False
    )
    on: str | None = option("the column of the text", default=None, metavar="COL")
    where: str | None = option(
        'only rows where this is true: "stars <= 2"; others pass as null', default=None, metavar="EXPR"
    )
    head: int | None = option("only the first N rows", default=None, metavar="N", parse=count)
    sample: int | None = option("only N rows drawn by chance", default=None, metavar="N", parse=count)
