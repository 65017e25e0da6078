"""Answers obtained elsewhere: batch files and providers' batch services."""
