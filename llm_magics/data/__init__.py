"""Dataframes in and out, and templates over their columns."""
