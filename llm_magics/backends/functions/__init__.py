"""Python functions of the user as a backend."""
