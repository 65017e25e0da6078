"""Ratings of texts on a scale, and rankings of several texts a row."""
