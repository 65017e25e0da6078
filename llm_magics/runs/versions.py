"""Versions of what takes part in a result."""

from __future__ import annotations


def versions() -> dict[str, str]:
    """Versions of what takes part in a result."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for package in ("llm_magics", "pandas", "narwhals", "openai", "llama-cpp-python"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
