"""llama.cpp's low-level calls: model, context, and the worker threads that batch rows."""
