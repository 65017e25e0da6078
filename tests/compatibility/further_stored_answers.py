"""More cells over a store of version 0.1.0: hosts and flags that ``stored_answers`` has no cell for.

``home_0_1_0_further`` was made by the code of 0.1.0, in a checkout of e1a5794 that this folder was copied to
(``python -m tests.compatibility.further_stored_answers FOLDER``), and stands beside ``home_0_1_0``, which it
leaves as it is.

Left out: ``--agree`` over 400 rows or more, where a fitted regression decides which rows are asked, and so
another machine may ask others; a GGUF file under its absolute path, which is part of the key.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from llm_magics.testing import Server
from tests.compatibility import stored_answers as first
from tests.kernels import Kernel, kernel
from tests.servers.google import Google
from tests.servers.provider import serve

FURTHER = Path(__file__).parent / "home_0_1_0_further"
GEMINI = 47126
ENVIRONMENT: Mapping[str, str] = {"FAST_KEY": "not-a-key"}

WATCH = """
import sys
connections = []
def _watch(event, args):
    if event == "socket.connect" and isinstance(args[1], tuple):
        connections.append(list(args[1][:2]))
sys.addaudithook(_watch)
"""
"""Notes every connection that Python opens, whichever library asks for it; run it before anything else."""

SETUP = """
import os
os.chdir(os.environ["LLM_MAGICS_HOME"])
from pathlib import Path
if not Path("tiny.gguf").exists():
    Path("tiny.gguf").touch()
def count(texts):
    if replayed:
        raise RuntimeError("asked for vectors")
    return [[float(len(text)), float(text.count("e")), 1.0] for text in texts]
def shout(prompt):
    if replayed:
        raise RuntimeError("asked for a text")
    return "outage" if "down" in prompt.rpartition("Text:")[2] else "billing"
truth = tickets.assign(topic=["billing", "outage", "how-to", None, "billing", "billing", "how-to"])
codes = [1, 2, 3]
%llm_config add loud --call shout --embed count
%llm_config add both --pool fast,warm
"""

BACKENDS = f"""%%llm_config
[backends.google]
namespace = "gemini"
model = "test-model"
base_url = "http://127.0.0.1:{GEMINI}"
key = "env:FAST_KEY"

[backends.tiny]
namespace = "gguf"
model = "tiny.gguf"
"""

_LABEL = "%llm label tickets.body --labels billing,outage,how-to"
_LABELS = "{'billing': 'money', 'outage': 'down', 'how-to': ''}"

CELLS: Mapping[str, str] = {
    "label several": f"{_LABEL} --multi -o out",
    "label several scored": f"{_LABEL} --multi --scores -o out",
    "label cut": f"{_LABEL} --too-long truncate --room 4 -o out",
    "label by truth": "%llm label truth.body --labels billing,outage,how-to --truth topic --calibrate -o out",
    "label agreed": f"{_LABEL} --agree 0.9 -o out",
    "label none and examples": (
        "%llm label tickets.body --labels billing,outage --none other --examples gold:text,topic"
        ' --where "stars < 5" -o out'
    ),
    "label numbers": "%llm label tickets.body --labels-from codes -o out",
    "label explained shared": f"{_LABEL} --explain --rows-per-request 3 -o out",
    "label with parameters": f"{_LABEL} -p temperature=0.5 -p top_p=0.9 -p seed=3 -o out",
    "summarize shared": "%llm summarize tickets --on body --rows-per-request 2 -o out",
    "translate cut": "%llm translate tickets --on body --to French --too-long truncate --room 4 -o out",
    "extract shared": "%%llm extract tickets.body --rows-per-request 3 -o out\nproduct: the product\nurgent bool",
    "generate cut": "%%llm generate tickets --too-long truncate --room 4 -o out\nAnswer: {body}",
    "chat": "%%llm chat -o answer\nHello?",
    "chat goes on": "%%llm chat --continue --system 'Be brief.' -p temperature=0.1 -o answer\nAnd then?",
    "gemini": f"{_LABEL} -m google -o out",
    "gemini text": "%%llm generate tickets -m google -o out\nSay {body}",
    "gemini embed": "%llm embed tickets.body -m google -o out",
    "ollama text": "%%llm generate tickets -m llama -p temperature=0 -o out\nSay {body}",
    "anthropic text": "%%llm generate tickets -m claude -p max_tokens=50 -o out\nSay {body}",
    "function label": f"{_LABEL} -m loud -o out",
    "function embed": "%llm embed tickets.body -m loud -o out",
    "pool": f"{_LABEL} -m both -o out",
    "gguf label": f"{_LABEL} -m tiny -o out",
    "gguf text": "%%llm generate tickets -m tiny -p max_tokens=16 -p temperature=0 -o out\nSay {body}",
    "embedded": f"%llm_config unset model\n{_LABEL} -o out\nout = out[['label', 'label_status']]\n%llm_config use fast",
    "python generate": "out = llm_magics.generate(tickets, 'Answer {body}', num_generations=2)",
    "python extract": "out = llm_magics.extract(tickets, Ticket, on='body')",
    "python summarize": "out = llm_magics.summarize(tickets, on='body', max_words=3)",
    "python translate": "out = llm_magics.translate(tickets, 'Dutch', on='body')",
    "python judge": "out = llm_magics.judge(tickets, 'politeness', on='reply')",
    "python embed": "out = llm_magics.embed(tickets, on='body')",
    "python label": f"out = llm_magics.label(tickets, {_LABELS}, on='body', scores=True)",
}
"""Name -> a cell that binds ``out`` to a frame, or ``answer`` to a text."""

USED = """
last = get_ipython().run_line_magic("llm", "last")
print(json.dumps([last.usage.input_tokens, last.usage.output_tokens]))
"""
"""What the last run paid for: an answer from the store costs no tokens."""


def answer(request: Mapping[str, Any]) -> str:
    """As in ``stored_answers``; several labels where several are asked for, and labels it has no words for."""
    form = request.get("response_format") or {}
    properties = ((form.get("json_schema") or {}).get("schema") or {}).get("properties", {})
    if list(properties) == ["labels"] and properties["labels"]["items"].get("enum"):
        asked = next(said["content"] for said in reversed(request["messages"]) if said["role"] == "user")
        return json.dumps({"labels": ["billing", "how-to"] if "charged" in asked else ["outage"]})
    labels = properties.get("label", {}).get("enum", ["billing"])
    return first.answer(request) if "billing" in labels else json.dumps({"label": labels[0]})


def read(k: Kernel, code: str) -> Any:
    """The JSON that a cell prints last."""
    return json.loads(k.run(code).stdout.strip().splitlines()[-1])


def set_up(k: Kernel, *, replayed: bool) -> None:
    """Data and backends of both modules; ``replayed`` makes the functions refuse to answer."""
    k.run(WATCH)
    k.run(f"import json\nreplayed = {replayed}")
    for cell in (first.SETUP, first.BACKENDS, SETUP, BACKENDS):
        k.run(cell)
    if replayed:
        k.run("%llm_config set retries=0")  # a request that is sent all the same fails at once


def review(k: Kernel, name: str, corrections: Sequence[str] = ()) -> Any:
    """The gold labels that a new ``%llm review`` of a cell's labels finds, after corrections in one before."""
    k.run(CELLS[name])
    k.run("%llm review --static -o opened")
    for line in corrections:
        k.run(f"opened.{line}")
    k.run("%llm review --static -o opened")
    return read(k, "print(json.dumps([plain(each) for each in opened.df['label_gold'].astype(object)]))")


GOLD: Mapping[str, Sequence[str]] = {
    "label several": ("accept(0)", "correct(1, ['billing', 'outage'])"),
    "label numbers": ("accept(0)", "correct(1, opened.labels[-1])"),
}
"""Name of a cell -> what a person does in the review of it."""


def checkpoint(folder: Path) -> None:
    """Every database in one file, without a write-ahead log."""
    for database in folder.glob("*.sqlite3"):
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("PRAGMA journal_mode=DELETE")
            connection.execute("VACUUM")


def main(folder: Path) -> None:
    """Make the fixture with the code that is importable."""
    from llm_magics.testing.gguf import build

    google, llama, claude = (
        serve(Google(key="not-a-key")),
        serve(first.Ollama(key="")),
        serve(first.Anthropic(key="not-a-key")),
    )
    google.port, llama.port, claude.port = GEMINI, first.OLLAMA, first.ANTHROPIC
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as made:
        home = Path(made)
        build(home / "tiny.gguf", precision="float32")
        environment = {**ENVIRONMENT, "LLM_MAGICS_HOME": made}
        model = Server(answer=answer, chances=first.chances, port=first.OPENAI)
        with model, google, llama, claude, kernel(environment) as k:
            set_up(k, replayed=False)
            for name, cell in CELLS.items():
                results[name] = first.run(k, name, cell)
            results["gold"] = {name: review(k, name, told) for name, told in GOLD.items()}
            k.run("%llm_config profile save further")
        checkpoint(home)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for path in (*home.glob("*.sqlite3"), *home.glob("profiles/*.toml")):
            target = folder / path.relative_to(home)
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, target)
    text = json.dumps(results, ensure_ascii=False, separators=(",", ":"))
    (folder / "results.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
