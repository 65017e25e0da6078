"""Accuracy, F1, confusion, agreement between annotators, and their figures."""
