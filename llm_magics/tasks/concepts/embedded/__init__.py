"""Concept induction without a language model: clustering, keywords, similarity scores."""
