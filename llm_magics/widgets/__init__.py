"""Widgets over results; each shows plain HTML where no widget can be."""
