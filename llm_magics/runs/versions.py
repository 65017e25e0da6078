"""The versions of the packages that take part in a result, for manifests and reports."""

from __future__ import annotations


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that take part in a result."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for package in ("llm_magics", "pandas", "narwhals", "openai", "llama-cpp-python"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
