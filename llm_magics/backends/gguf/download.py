"""Downloads: from a model's name to a file on disk. A name is a path, an alias, or ``owner/repo:pattern``.

The hub's own client downloads: it resumes, checks sizes and hashes, keeps one copy for all programs,
shows a progress bar, and obeys ``HF_HUB_OFFLINE``, ``HF_ENDPOINT`` and ``HF_TOKEN``.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from llm_magics.backends.gguf.catalogue import CATALOGUE
from llm_magics.core.errors import LLMError, MissingPackage, ModelLoadError, NotFound

T = TypeVar("T")

REPO = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?::(?P<file>.+))?")
ATTEMPTS = 5
"""Broken connections that a download survives, each time resuming."""
PREFERRED = ("Q4_K_M", "Q4_0", "Q8_0")
"""The quantization that is chosen where no pattern names one, best compromise first."""
SHA256 = re.compile(r"[0-9a-f]{64}")
PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$", re.IGNORECASE)


def locate(
    model: str, folder: str | Path | None = None, token: str | None = None, *, offline: bool = False
) -> Path:
    """The file of ``model``, downloaded into ``folder`` (None: the hub's own cache) where it isn't on disk.

    May take minutes. Raises NotFound for an unknown name and ModelLoadError where the hub can't provide
    it.
    """
    path = local_path(model)
    if path is not None:
        return path
    repo, pattern = _address(model)
    cached = on_disk(model, folder)
    if cached is None and offline:
        raise _forbidden(repo, "the setting offline", "%llm_config set offline=false")
    return cached if cached is not None else _fetch(repo, pattern, folder, token)


def local_path(model: str) -> Path | None:
    """``model`` as an existing file; None where it is no path. Raises NotFound for a path to nothing.

    Any part of a split model stands for its first part, which llama.cpp opens.
    """
    path = Path(model).expanduser()
    if path.is_file():
        if PART.search(path.name) is None:
            return path.resolve()
        first = path.with_name(parts(path.name)[0])  # not resolved: the hub's cache keeps parts as links
        return (first if first.is_file() else path).absolute()
    looks = model.startswith((".", "~", "/", "\\")) or path.is_absolute()
    if looks or (model.lower().endswith(".gguf") and ":" not in model):
        raise _no_file(path)
    return None


def check(model: str) -> None:
    """Raises NotFound for what is no path to a file, no alias and no hub address; without any request."""
    if local_path(model) is None:
        _address(model)


def beside(path: Path) -> list[Path]:
    """The files of a model on disk: the file itself, or all parts where it is split."""
    several = [path.with_name(name) for name in parts(path.name)]
    return [part for part in several if part.is_file()] or [path]


def _no_file(path: Path) -> NotFound:
    """The error for a wrong path: it lists the models in that folder, or the neighbours."""
    folder = path if path.is_dir() else path.parent
    near = [str(other.relative_to(path.parent)) for other in sorted(folder.glob("*.gguf")) if other.is_file()]
    if path.is_dir():
        return NotFound(
            f"{str(path)!r} is a folder, not a GGUF file.",
            hint=f"In it: {', '.join(near[:8])}" if near else "There is no .gguf file in it.",
        )
    return NotFound.among("file", str(path), near, hint="A path, an alias, or owner/repo:file-pattern")


def on_disk(model: str, folder: str | Path | None = None) -> Path | None:
    """The downloaded file of an alias or an exact hub address; without any request."""
    try:
        repo, pattern = _address(model)
    except NotFound:
        return None
    if not pattern or any(letter in pattern for letter in "*?["):
        return None
    import_hub()
    from huggingface_hub import try_to_load_from_cache

    if folder is not None:
        path = Path(folder).expanduser() / pattern
        return path.resolve() if path.is_file() else None
    found = try_to_load_from_cache(repo, pattern)
    return Path(found).absolute() if isinstance(found, str) else None


def import_hub() -> None:
    """Raise MissingPackage where huggingface_hub is absent."""
    try:
        import huggingface_hub  # noqa: F401 - only whether it is there
    except ImportError:
        raise MissingPackage.of("huggingface_hub", "gguf", "downloading a GGUF model") from None


def _address(model: str) -> tuple[str, str]:
    """Repository and file pattern (empty: choose) of an alias or a hub address."""
    if model in CATALOGUE:
        return CATALOGUE[model].repo, CATALOGUE[model].file
    found = REPO.fullmatch(model)
    if found is None:
        raise NotFound.among(
            "GGUF model",
            model,
            CATALOGUE,
            hint="A path, an alias (%llm_config models gguf), or owner/repo:file",
        )
    return found["repo"], found["file"] or ""


def _fetch(repo: str, pattern: str, folder: str | Path | None, token: str | None) -> Path:
    import_hub()
    try:
        name = choose(_files(repo, token), pattern, repo) if _vague(pattern) else pattern
        for part in parts(name)[1:]:
            _download(repo, part, folder, token)
        return _download(repo, name, folder, token)
    except Exception as error:
        if isinstance(error, LLMError):
            raise
        raise _explained(repo, pattern, error) from None


def _vague(pattern: str) -> bool:
    return not pattern.lower().endswith(".gguf") or any(letter in pattern for letter in "*?[")


def _files(repo: str, token: str | None) -> list[str]:
    from huggingface_hub import HfApi

    return [name for name in HfApi(token=token).list_repo_files(repo) if name.lower().endswith(".gguf")]


def choose(names: Iterable[str], pattern: str, repo: str = "") -> str:
    """The file meant by a pattern: a name or wildcard, ``q4_k_m`` matching anywhere, else the usual size.

    Raises NotFound with the files there are.
    """
    names = [name for name in names if not Path(name).name.lower().startswith("mmproj")]
    first = [name for name in names if not (PART.search(name) and PART.search(name)[1] != "00001")]  # type: ignore[index]
    wanted = pattern.lower() if any(letter in pattern for letter in "*?[") else f"*{pattern.lower()}*"
    found = sorted((name for name in first if fnmatch.fnmatchcase(name.lower(), wanted)), key=len)
    if not found:
        raise NotFound.among(f"GGUF file in {repo} that matches", pattern, first)
    for kind in PREFERRED:
        for name in found:
            if kind.lower() in name.lower():
                return name
    return found[0]


def parts(name: str) -> list[str]:
    """The files of a split model; itself alone otherwise."""
    found = PART.search(name)
    if found is None:
        return [name]
    start = name[: found.start()]
    return [f"{start}-{number:05d}-of-{found[2]}.gguf" for number in range(1, int(found[2]) + 1)]


def _download(repo: str, name: str, folder: str | Path | None, token: str | None) -> Path:
    """One complete file, its hash compared with the hub's, in the folder or the hub's own cache.

    The hub's ``hf_hub_download`` starts again in every session; models are gigabytes, so its parts are
    used here on a partial file that outlives a kernel.
    """
    from filelock import FileLock
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    facts = _patiently(lambda: get_hf_file_metadata(hf_hub_url(repo, name), token=token))
    target = _blob(repo, facts.etag) if folder is None else Path(folder).expanduser() / name
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    with FileLock(f"{part}.lock"):
        if not target.exists():
            _patiently(lambda: _fill(part, facts, repo, name, token))
            _verify(part, facts.etag or "", name)
            part.replace(target)
    Path(f"{part}.lock").unlink(missing_ok=True)
    return Path(hf_hub_download(repo, name, token=token)).absolute() if folder is None else target.absolute()


def _blob(repo: str, etag: str | None) -> Path:
    """Where the hub's cache keeps a file's content."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}" / "blobs" / str(etag)


def _fill(part: Path, facts: Any, repo: str, name: str, token: str | None) -> None:
    """Append the missing rest of the file."""
    from huggingface_hub import get_token, hf_hub_url
    from huggingface_hub.file_download import http_get

    at_home = urlsplit(facts.location).netloc == urlsplit(hf_hub_url(repo, name)).netloc
    secret = (token or get_token()) if at_home else None  # it is for the hub, not for where it keeps files
    headers = {"authorization": f"Bearer {secret}"} if secret else {}
    with part.open("ab") as file:
        http_get(
            facts.location,
            file,
            resume_size=file.tell(),
            headers=headers,
            expected_size=facts.size,
            displayed_filename=name,
        )


def _patiently(ask: Callable[[], T]) -> T:
    """The result of ``ask()``, repeated where only the connection failed."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return ask()
        except Exception as error:
            if attempt == ATTEMPTS or not _passes(error):
                raise
            time.sleep(attempt - 1)
    raise AssertionError


NETWORK = ("httpx", "httpx2", "httpcore", "requests", "urllib3")
"""The HTTP libraries that the hub's client has used over its versions."""


def _passes(error: Exception) -> bool:
    """Whether the connection failed, rather than the hub's answer or this machine."""
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    if isinstance(error, HfHubHTTPError | OfflineModeIsEnabled | LocalEntryNotFoundError):
        return False
    return isinstance(error, ConnectionError) or type(error).__module__.partition(".")[0] in NETWORK


def _verify(part: Path, promised: str, name: str) -> None:
    """Delete a file that is not what the hub promised, and raise ModelLoadError."""
    if not SHA256.fullmatch(promised):  # a small file outside LFS: its hash is git's
        return
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != promised:
        part.unlink()
        raise ModelLoadError(
            f"{name} arrived damaged (its SHA-256 is not the hub's) and was deleted.",
            hint="Run the cell again to download it anew.",
        )


def _explained(repo: str, pattern: str, error: Exception) -> ModelLoadError:
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    if isinstance(error, LocalEntryNotFoundError) and isinstance(error.__cause__, HfHubHTTPError):
        error = error.__cause__
    if isinstance(error, OfflineModeIsEnabled | LocalEntryNotFoundError):
        return _unreachable(repo, error)
    return _refused(repo, pattern, error) if isinstance(error, HfHubHTTPError) else _broken(repo, error)


def _unreachable(repo: str, error: Exception) -> ModelLoadError:
    from huggingface_hub import constants

    if constants.is_offline_mode():
        return _forbidden(repo, "HF_HUB_OFFLINE", "Unset HF_HUB_OFFLINE")
    return _broken(repo, error)


def _forbidden(repo: str, what: str, undo: str) -> ModelLoadError:
    return ModelLoadError(
        f"{repo} is not on this disk, and {what} forbids asking the hub.",
        hint=f"{undo}, or copy the file here and name its path: gguf::/path/to/model.gguf",
    )


def _refused(repo: str, pattern: str, error: Exception) -> ModelLoadError:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return ModelLoadError(
            f"the hub does not give {repo} to you (status {status}).",
            hint="Accept its licence on the model's page, and set HF_TOKEN (or: huggingface-cli login).",
        )
    if status == 404:
        return ModelLoadError(
            f"the hub has no {repo}{f' with a file {pattern!r}' if pattern else ''}.",
            hint="Check the spelling on the hub; the files are on the repository's page.",
        )
    return _broken(repo, error)


def _broken(repo: str, error: Exception) -> ModelLoadError:
    return ModelLoadError(
        f"downloading {repo} failed: {type(error).__name__}: {str(error).partition(chr(10))[0]}",
        hint="What arrived is kept: run the cell again and the download goes on from there.",
    )
