"""vLLM's engine inside the kernel."""
