"""Several backends that share rows or generations."""
