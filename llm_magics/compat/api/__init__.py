"""Documented import paths of 0.1.0 under ``llm_magics.api``."""
