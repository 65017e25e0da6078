"""llama.cpp in the kernel: its low-level names, the batching owner thread, and what they need."""
