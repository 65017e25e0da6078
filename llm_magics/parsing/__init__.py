"""Answers as models really give them: fences, thinking, quotes, prose; a listed label or an error."""
