"""Hugging Face models inside the kernel, through transformers and sentence-transformers."""
