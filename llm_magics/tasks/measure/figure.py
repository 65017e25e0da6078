"""The picture of corrected shares: what is drawn of a result of ``measure``."""

from __future__ import annotations

from typing import Any

from llm_magics.widgets.figures.measured import Measured, measured_figure
from llm_magics.widgets.figures.template import Look


def figure(frame: Any, about: dict[str, Any], caption: str, title: str | None, **look: Any) -> Any:
    """A plotly figure of a result; ``caption`` says how it was made, and stands at its foot."""
    label, by, value = about["label"], about["by"], about["value"]
    lines: list[Measured] = []
    for name, rows in frame.groupby(label, sort=False, observed=True):
        if by:
            lines.append(Measured(str(name)))
        lines += [
            _line(one, value, ", ".join(str(one[key]) for key in by) if by else str(name), place)
            for place, (_, one) in enumerate(rows.iterrows())
        ]
    what = f"Share of each {label}" if value == "share" else f"{value.capitalize()} by {label}"
    own = f"{what}, by {' and '.join(by)}" if by else what
    source = f"Filled: corrected, with its interval; hollow: the model's own {value}. {caption}"
    made = Look(**{"title": title, **look})
    return measured_figure(lines, made, own, source, value, percent=value == "share")


def _line(row: Any, value: str, name: str, place: int) -> Measured:
    """A line of the result; groups have colours of their own, the same under each label."""
    estimate = float(row[value])
    told = (
        f"{estimate:.3f} [{row['low']:.3f}, {row['high']:.3f}], {row['gold']:,} gold rows of {row['rows']:,}"
    )
    ends = float(row["low"]), float(row["high"])
    return Measured(name, estimate, *ends, float(row["uncorrected"]), f"{name}: {told}", place)
