"""Questions to a model, with conversations."""
