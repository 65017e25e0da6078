"""Hugging Face models in the kernel: loading, writing, scoring, embedding."""
