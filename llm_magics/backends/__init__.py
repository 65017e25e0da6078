"""Backends, a folder for each family. ``base`` says what a backend is, ``namespaces`` lists the families."""
