"""The buttons of plotly that are removed from every figure, because they would send its data away."""

from __future__ import annotations

UPLOADS = ("sendChartToCloud", "sendDataToCloud")
"""Plotly's own buttons that send a chart, and with it rows of the user's, to a server of Plotly's."""
