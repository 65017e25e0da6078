"""The explorer's figure: one scattergl trace that stays on the machine and outlives a reload of the page."""

from __future__ import annotations

from typing import Any

UPLOADS = ("sendChartToCloud", "sendDataToCloud")
"""Plotly's own buttons that send a chart, and with it rows of the user's, to a server of Plotly's."""


def chart() -> Any:
    """A FigureWidget with one empty scattergl trace; a picture is put into it."""
    import plotly.graph_objects as go
    from plotly.serializers import _py_to_js

    class Chart(go.FigureWidget):  # type: ignore[misc] # plotly says nothing of types
        """Tells a page that is loaded again what is shown now.

        Plotly sends changes as messages and keeps, for pages that come later, the state of the beginning:
        an empty chart.
        """

        def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:
            state: dict[str, Any] = super().get_state(key=key, drop_defaults=drop_defaults)
            # The widget opens its line before the figure in it is made.
            if key is None and "_layout_obj" in vars(self):
                state["_widget_data"] = _py_to_js(self._data, self)
                state["_widget_layout"] = _py_to_js(self._layout_obj._props, self)  # noqa: SLF001
            return state

    layout = {
        "autosize": True,
        "margin": {"l": 10, "r": 10, "t": 30, "b": 10},
        "showlegend": False,
    }
    made = Chart(data=[go.Scattergl(x=[], y=[], hoverinfo="none")], layout=layout)
    # The controls say what a drag means; the chart's own toolbar would say another thing.
    own = {
        "displaylogo": False,
        "responsive": True,
        "modeBarButtonsToRemove": ["lasso2d", "select2d", "pan2d", *UPLOADS],
    }
    made._config = {**made._config, **own}  # noqa: SLF001 - no public way
    return made


def gesture(figure: Any, gestures: dict[str, Any], *, outline: bool, selected: bool) -> None:
    """What a drag and a click mean; the points stay where they are and are not sent again.

    A lasso's outline stays where ``outline`` says so; points ``selected`` by it are so no more.

    Said once more by message, past what the kernel believes: the page tells of its layout late, and never of
    an outline. Each message may draw all points anew, so there are no more of them than needed.
    """
    figure.plotly_relayout(gestures)
    figure._send_relayout_msg(gestures if outline else {**gestures, "selections": []})  # noqa: SLF001
    if selected:
        figure._send_restyle_msg({"selectedpoints": [None]}, trace_indexes=[0])  # noqa: SLF001
