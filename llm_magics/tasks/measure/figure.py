"""The picture of corrected shares: a point and its interval, the uncorrected share beside it."""

from __future__ import annotations

import html
from typing import Any

from llm_magics.widgets.chart import UPLOADS
from llm_magics.widgets.theme import COLOURS, NO_COLOUR


def figure(frame: Any, about: dict[str, Any], title: str | None, caption: str) -> Any:
    """A plotly figure of a result of ``measure``; ``caption`` stands under its title."""
    import plotly.graph_objects as go

    label, by, value = about["label"], about["by"], about["value"]
    grouped = frame.groupby(by, sort=False, observed=True, dropna=False) if by else [((), frame)]
    parts = [(_said(key), rows) for key, rows in grouped]
    made = go.Figure()
    for number, (name, rows) in enumerate(parts):
        colour = COLOURS[number % len(COLOURS)]
        # Each group has its own line inside a label's band, the first one on top.
        shift = (0.5 - (number + 0.5) / len(parts)) * 0.7
        height = [place + shift for place in _places(frame, label, rows)]
        made.add_trace(_uncorrected(go, rows, height, show=number == 0))
        made.add_trace(_corrected(go, rows, value, height, name, colour))
    names = list(dict.fromkeys(frame[label]))
    made.update_layout(
        title={
            "text": html.escape(title or f"{value.capitalize()} by {label}"),
            "subtitle": {"text": html.escape(caption)},
        },
        template="plotly_white",
        modebar={"remove": list(UPLOADS)},
        height=140 + 34 * len(names) * max(1, min(len(parts), 8)),
        margin={"t": 90},
        legend={"traceorder": "normal"},
        xaxis={"title": html.escape(value), "tickformat": ".0%" if value == "share" else ""},
        yaxis={
            "tickvals": list(range(len(names))),
            "ticktext": [html.escape(str(name)) for name in reversed(names)],
            "range": [-0.6, len(names) - 0.4],
        },
    )
    return made


def _places(frame: Any, label: str, rows: Any) -> list[int]:
    """The height of each row's label; the first label is on top."""
    names = list(dict.fromkeys(frame[label]))
    return [len(names) - 1 - names.index(name) for name in rows[label]]


def _said(key: Any) -> str:
    values = key if isinstance(key, tuple) else (key,)
    return ", ".join(str(value) for value in values)


def _corrected(go: Any, rows: Any, value: str, height: list[float], name: str, colour: str) -> Any:
    return go.Scatter(
        x=rows[value],
        y=height,
        mode="markers",
        name=html.escape(name) or "corrected",
        marker={"color": colour, "size": 9},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": rows["high"] - rows[value],
            "arrayminus": rows[value] - rows["low"],
            "color": colour,
        },
        customdata=rows[["low", "high", "gold"]].to_numpy(),
        hovertemplate="%{x:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}], %{customdata[2]} gold rows",
    )


def _uncorrected(go: Any, rows: Any, height: list[float], *, show: bool) -> Any:
    return go.Scatter(
        x=rows["uncorrected"],
        y=height,
        mode="markers",
        name="uncorrected",
        legendgroup="uncorrected",
        showlegend=show,
        marker={"color": NO_COLOUR, "size": 9, "symbol": "circle-open"},
        hovertemplate="uncorrected %{x:.3f}<extra></extra>",
    )
