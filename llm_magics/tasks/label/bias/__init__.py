"""Bias removal: how a model's preference for some labels is estimated, and taken off its label scores."""
