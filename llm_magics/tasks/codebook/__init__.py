"""Codebooks: label definitions as versions, how well each does, and better wording from disagreements."""
