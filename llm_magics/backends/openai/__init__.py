"""Hosts that speak OpenAI's format: OpenAI, Azure, vLLM's server, Hugging Face endpoints, custom URLs."""
