"""Concept induction: from texts to named, scored concepts and their explorer."""
