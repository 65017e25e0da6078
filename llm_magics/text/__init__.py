"""Parsing of a model's answers: labels, JSON, typed fields, spans."""
