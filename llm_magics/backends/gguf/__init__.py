"""GGUF models inside the kernel, through llama.cpp."""
