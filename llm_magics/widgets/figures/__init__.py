"""Figures to publish: plotly figures in one template, from plain data."""
