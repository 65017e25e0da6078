"""``--agree``: a cheap proxy model labels the rows it is sure of, with a guarantee."""
