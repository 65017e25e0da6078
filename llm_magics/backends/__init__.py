"""Backends: a family each; see ``base`` for what makes one and ``registry`` for how it is found."""
