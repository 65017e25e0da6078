"""Concepts in texts: found, edited, scored, sliced."""
