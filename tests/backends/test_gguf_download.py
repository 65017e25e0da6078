"""Downloads from a stand-in for the hub on this machine, by the hub's own client, in processes of their own."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_magics.backends.gguf.catalogue import CATALOGUE
from llm_magics.backends.gguf.download import beside, check, choose, local_path, parts
from llm_magics.core.errors import NotFound

REPO = "someone/tiny-GGUF"
COMMIT = "c0ffee" * 6 + "c0ff"


class Hub(BaseHTTPRequestHandler):
    """Serves files by the hub's own addresses; ``drops`` says how often a connection breaks half way."""

    files: dict[str, bytes]
    drops = 0
    stalled: threading.Event | None = None
    lies = False
    status = 200
    asked: list[str]

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        hub: Any = type(self)
        hub.asked.append(f"{self.command} {self.path} {self.headers.get('Range', '')}".strip())
        if hub.status != 200:
            self._refuse(hub.status, "GatedRepo")
        elif self.path.startswith("/api/models/"):
            self._send(json.dumps(self._listing()).encode(), {"Content-Type": "application/json"})
        else:
            self._file(self.path.rsplit("/", 1)[-1], body)

    def _listing(self) -> Any:
        if "/tree/" in self.path:
            return [
                {"type": "file", "path": name, "size": len(data), "oid": "x"}
                for name, data in self.files.items()
            ]
        return {"id": REPO, "sha": COMMIT, "siblings": [{"rfilename": name} for name in self.files]}

    def _file(self, name: str, body: bool) -> None:
        hub: Any = type(self)
        if name not in self.files:
            self._refuse(404, "EntryNotFound")
            return
        data = self.files[name]
        digest = hashlib.sha256(data + (b"!" if hub.lies else b"")).hexdigest()
        headers = {"ETag": f'"{digest}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self._send(data[start:], headers, 206 if start else 200, body=body)

    def _send(self, data: bytes, headers: dict[str, str], status: int = 200, *, body: bool = True) -> None:
        hub: Any = type(self)
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if not body:
            return
        if hub.drops and "resolve" in self.path:
            hub.drops -= 1
            self.wfile.write(data[: len(data) // 4 * 3])
            self.wfile.flush()
            if hub.stalled is not None:
                hub.stalled.set()
                with contextlib.suppress(OSError):
                    self.connection.recv(1)  # until the other side is gone
            return
        self.wfile.write(data)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def hub(tiny_gguf: Path) -> Iterator[tuple[str, type[Hub]]]:
    data = tiny_gguf.read_bytes()
    files = {"tiny-Q4_K_M.gguf": data, "tiny-Q8_0.gguf": data[::-1], "large.gguf": data * 40}
    handler = type("OneHub", (Hub,), {"files": files, "asked": [], "drops": 0, "lies": False, "status": 200})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler
    server.shutdown()
    server.server_close()


CODE = """
import sys
from llm_magics.backends.gguf.download import locate
from llm_magics.core.errors import LLMError
try:
    print('FOUND', locate(sys.argv[1], sys.argv[2] or None))
except LLMError as error:
    print(type(error).__name__, str(error))
    sys.exit(3)
"""


def started(url: str, model: str, home: Path, **options: str) -> subprocess.Popen[str]:
    """``locate`` in a process of its own, since the hub's client reads its variables at import."""
    environ = {**os.environ, "HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}
    environ |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1"}
    environ |= {name: value for name, value in options.items() if name.isupper()}
    command = [sys.executable, "-c", CODE, model, options.get("folder", "")]
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def locate(url: str, model: str, home: Path, **options: str) -> tuple[int, str]:
    """Its exit code and what it said."""
    process = started(url, model, home, **options)
    output = process.communicate(timeout=100)[0]
    return process.returncode, output


def found(output: str) -> Path:
    return Path(
        next(line for line in output.splitlines() if line.startswith("FOUND ")).removeprefix("FOUND ")
    )


@pytest.mark.checklist("M6", "B6")
def test_a_broken_download_goes_on_where_it_stopped(hub: tuple[str, type[Hub]], tmp_path: Path) -> None:
    """The connection drops half way; the second request asks for the rest only, and the file is whole."""
    url, handler = hub
    handler.drops = 1
    code, output = locate(url, f"{REPO}:large.gguf", tmp_path)
    assert code == 0, output
    assert found(output).read_bytes() == handler.files["large.gguf"]
    assert len(rests(handler)) == 1
    assert not list(tmp_path.rglob("*.part*"))


def rests(handler: type[Hub]) -> list[str]:
    """The requests for a part of a file that is not its beginning."""
    return [
        line
        for line in handler.asked
        if line.startswith("GET") and "bytes=" in line and "bytes=0-" not in line
    ]


@pytest.mark.checklist("M6")
def test_a_killed_download_goes_on_in_the_next_session(hub: tuple[str, type[Hub]], tmp_path: Path) -> None:
    """The process dies in the middle; the next one needs only the rest, and the one after that nothing."""
    url, handler = hub
    folder = str(tmp_path / "models")
    handler.drops, handler.stalled = 1, threading.Event()
    process = started(url, f"{REPO}:large.gguf", tmp_path, folder=folder)
    assert handler.stalled.wait(60)
    while not (written := list(Path(folder).rglob("*.part"))) or written[0].stat().st_size < 10**7:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    code, output = locate(url, f"{REPO}:large.gguf", tmp_path, folder=folder)
    assert code == 0, output
    assert found(output).read_bytes() == handler.files["large.gguf"]
    assert len(rests(handler)) == 1
    handler.asked.clear()
    assert locate(url, f"{REPO}:large.gguf", tmp_path, folder=folder)[0] == 0
    assert handler.asked == []


@pytest.mark.checklist("M6")
@pytest.mark.parametrize("folder", ["", "models"])
def test_a_damaged_file_is_deleted(hub: tuple[str, type[Hub]], tmp_path: Path, folder: str) -> None:
    """A file whose hash is not the one the hub names is never loaded."""
    url, handler = hub
    handler.lies = True
    given = {"folder": str(tmp_path / folder)} if folder else {}
    code, output = locate(url, f"{REPO}:tiny-Q8_0.gguf", tmp_path, **given)
    assert (code, "damaged" in output) == (3, True), output
    assert not list(tmp_path.rglob("*Q8_0.gguf"))


@pytest.mark.checklist("M6")
def test_offline_asks_nobody(hub: tuple[str, type[Hub]], tmp_path: Path) -> None:
    """With the offline flag a missing file is an error that says so, a present one is found."""
    url, handler = hub
    code, output = locate(url, f"{REPO}:tiny-Q4_K_M.gguf", tmp_path, HF_HUB_OFFLINE="1")
    assert (code, handler.asked) == (3, [])
    assert "HF_HUB_OFFLINE" in output
    assert locate(url, f"{REPO}:q4_k_m", tmp_path)[0] == 0
    handler.asked.clear()
    code, output = locate(url, f"{REPO}:tiny-Q4_K_M.gguf", tmp_path, HF_HUB_OFFLINE="1")
    assert (code, handler.asked) == (0, []), output


def test_no_pattern_means_the_usual_size(hub: tuple[str, type[Hub]], tmp_path: Path) -> None:
    """Of several files the well-balanced one is taken; a pattern that fits nothing lists what there is."""
    url, _ = hub
    code, output = locate(url, REPO, tmp_path)
    assert code == 0, output
    assert found(output).name == "tiny-Q4_K_M.gguf"
    code, output = locate(url, f"{REPO}:q5_k_m", tmp_path)
    assert (code, "tiny-Q8_0.gguf" in output) == (3, True)


def test_the_hubs_refusals_say_what_to_do(hub: tuple[str, type[Hub]], tmp_path: Path) -> None:
    """A gated repository asks for the licence and a token, a wrong one for the spelling."""
    url, handler = hub
    code, output = locate(url, f"{REPO}:none.gguf", tmp_path)
    assert (code, "spelling" in output) == (3, True), output
    handler.status = 403
    code, output = locate(url, f"{REPO}:tiny-Q4_K_M.gguf", tmp_path)
    assert (code, "HF_TOKEN" in output) == (3, True), output


def test_aliases_and_paths(tiny_gguf: Path) -> None:
    """scikit-llm's five aliases are there; a path is itself; a wrong name tells near ones."""
    five = {"gemma2-2b-q6", "gemma2-9b-q4", "phi3-mini-q4", "mistral0.3-7b-q4", "llama3-8b-q4"}
    assert five <= set(CATALOGUE)
    assert all(entry.repo.count("/") == 1 and entry.file.endswith(".gguf") for entry in CATALOGUE.values())
    assert len(CATALOGUE) >= 20
    assert {entry.use for entry in CATALOGUE.values()} == {"instruct", "embed"}
    assert local_path(str(tiny_gguf)) == tiny_gguf.resolve()
    assert local_path("gemma2-2b-q6") is None
    with pytest.raises(NotFound, match=r"tiny\.gguf"):
        local_path(str(tiny_gguf.with_name("tyny.gguf")))


def test_a_folder_and_a_part_of_a_split_model(tiny_gguf: Path, tmp_path: Path) -> None:
    """A folder is told by the models in it; any part stands for the first, which is what llama.cpp opens."""
    folder = tmp_path / "models.gguf"
    folder.mkdir()
    with pytest.raises(NotFound, match=r"folder, not a GGUF file[^`]*no \.gguf file in it"):
        local_path(str(folder))
    several = [folder / f"m-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    for part in several:
        part.symlink_to(tiny_gguf)
    with pytest.raises(NotFound, match="m-00001-of-00003"):
        local_path(str(folder))
    assert local_path(str(several[1])) == several[0]
    assert beside(several[0]) == several
    several[0].unlink()
    assert local_path(str(several[1])) == several[1]


@pytest.mark.parametrize("name", ["qwen25-1.5b-q8", "./no.gguf", "no.gguf"])
def test_a_name_that_means_nothing_is_refused_unasked(name: str) -> None:
    """Before anything is sent: neither a file, nor an alias, nor a repository."""
    with pytest.raises(NotFound):
        check(name)
    assert check("gemma2-2b-q6") is None and check("owner/repo:q4") is None


@given(st.integers(1, 99_999), st.integers(1, 60))
def test_split_models_have_all_their_parts(first: int, count: int) -> None:
    """Every part of a split file is named, in order, whichever is given."""
    name = f"m-Q4_K_M-{min(first, count):05d}-of-{count:05d}.gguf"
    found = parts(name)
    assert (len(found), found[0]) == (count, f"m-Q4_K_M-00001-of-{count:05d}.gguf")


def test_choosing_never_takes_a_projector_or_a_later_part() -> None:
    """What is no language model by itself is left out."""
    names = ["mmproj-m-Q8_0.gguf", "m-Q8_0-00002-of-00002.gguf", "m-Q8_0-00001-of-00002.gguf", "m-F16.gguf"]
    assert choose(names, "q8_0") == "m-Q8_0-00001-of-00002.gguf"
    assert choose(names, "*f16*") == "m-F16.gguf"
