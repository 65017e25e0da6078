"""Requests into results: one event loop, workers, retries, limits, budget, progress."""
