"""The confusion matrix as a figure."""

from __future__ import annotations

import html
from typing import Any

from llm_magics.widgets.chart import UPLOADS
from llm_magics.widgets.theme import COLOURS, NO_COLOUR


def confusion_figure(counts: Any, title: str) -> Any:
    """A heat map of row shares with the counts written in it; true labels down, given ones across."""
    import plotly.graph_objects as go

    shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
    figure = go.Figure(
        go.Heatmap(
            z=shares.to_numpy(),
            x=[html.escape(str(name)) for name in counts.columns],
            y=[html.escape(str(name)) for name in counts.index],
            text=counts.to_numpy(),
            texttemplate="%{text}",
            colorscale="Blues",
            zmin=0,
            zmax=1,
            showscale=False,
            hovertemplate="true %{y}<br>given %{x}<br>%{text} rows, %{z:.0%}<extra></extra>",
        )
    )
    figure.update_layout(
        title=title,
        xaxis_title="given",
        yaxis_title="true",
        template="plotly_white",
        modebar={"remove": list(UPLOADS)},
    )
    figure.update_yaxes(autorange="reversed")
    return figure


def reliability_figure(table: Any, error: float | None) -> Any:
    """Accuracy by confidence: a point a bin with its interval, its size the share of rows."""
    import plotly.graph_objects as go

    share = table["rows"] / table["rows"].sum()
    figure = go.Figure(
        [
            go.Scatter(
                x=[0, 1], y=[0, 1], mode="lines", line={"dash": "dot", "color": NO_COLOUR}, hoverinfo="skip"
            ),
            go.Scatter(
                x=table["confidence"],
                y=table["accuracy"],
                mode="lines+markers",
                marker={"size": 8 + 30 * share**0.5, "color": COLOURS[0]},
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": table["high"] - table["accuracy"],
                    "arrayminus": table["accuracy"] - table["low"],
                },
                text=table["rows"],
                hovertemplate="confidence %{x:.2f}<br>right %{y:.2f}<br>%{text} rows<extra></extra>",
            ),
        ]
    )
    figure.update_layout(
        title=f"Reliability: calibration error {error or 0.0:.3f}",
        xaxis={"title": "confidence", "range": [0, 1.02]},
        yaxis={"title": "share right", "range": [0, 1.02]},
        showlegend=False,
        template="plotly_white",
        modebar={"remove": list(UPLOADS)},
    )
    return figure
