"""The widget that shows a set of concepts: list, map, matrix, documents."""
