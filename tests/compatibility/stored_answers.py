"""Cells whose answers version 0.1.0 stored, and what makes the store: ``python -m tests.compatibility.stored_answers``.

The store in ``home_0_1_0`` was made by the code of 0.1.0 and is never made again: it stands for the stores of
the people who used that version. ``test_stored_answers`` runs the same cells over it with no host listening.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm_magics.testing import Server
from llm_magics.testing.answers import default_answer, last_user_text
from tests.concepts import scripted
from tests.kernels import Kernel, kernel
from tests.servers.anthropic import Anthropic
from tests.servers.ollama import Ollama
from tests.servers.provider import serve

HERE = Path(__file__).parent / "home_0_1_0"
OPENAI, OLLAMA, ANTHROPIC = 47123, 47124, 47125
"""The ports are part of a request's key: the address of the host is."""

SETUP = f"""
%load_ext llm_magics
import pandas as pd
import llm_magics
calls = []
def upper(prompt):
    calls.append(prompt)
    return prompt.upper()
tickets = pd.DataFrame({{
    "body": ["I was charged twice in May", "the app is down since noon", "how do I export my data?", None,
             "I was charged twice in May", "please refund the invoice", "ünïcode and \\"quotes\\" {{braces}}"],
    "reply": ["We refund it.", "We look into it.", "See the manual.", "", "We refund it.", "Done.", "Thanks."],
    "stars": [1, 2, 5, 3, 1, 2, 4],
}})
gold = pd.DataFrame({{
    "text": ["a double charge", "an outage", "how to log in", "refund me", "it is offline", "where is the menu"],
    "topic": ["billing", "outage", "how-to", "billing", "outage", "how-to"],
}})
drafts = pd.DataFrame({{"a": ["short", "tiny"], "b": ["a longer text", "a much longer text"]}})
reviews = pd.DataFrame({{"text": {scripted.texts(12)!r}}})
from pydantic import BaseModel
class Ticket(BaseModel):
    product: str
    urgent: bool
brand = "ACME"
%llm_config add fast --openai http://127.0.0.1:{OPENAI}/v1 --id small --price 1/2 --key env:FAST_KEY
%llm_config add warm --openai http://127.0.0.1:{OPENAI}/v1 --id small -p temperature=0.5 -p seed=7
%llm_config add vectors --openai http://127.0.0.1:{OPENAI}/v1 --id text-embedding-small
%llm_config add mine --call upper
%llm_config use fast
%llm_config use vectors --for embed
"""

BACKENDS = f"""%%llm_config
[backends.llama]
namespace = "ollama"
model = "test-model"
base_url = "http://127.0.0.1:{OLLAMA}"

[backends.claude]
namespace = "anthropic"
model = "test-model"
base_url = "http://127.0.0.1:{ANTHROPIC}"
key = "env:FAST_KEY"
"""

_LABELS = """billing: charges, refunds, invoices
  + I was charged twice
outage: the service is down
how-to: asks how
  - Your app is down"""

CELLS: Mapping[str, str] = {
    "label": "%llm label tickets.body --labels billing,outage,how-to -o out",
    "label described": f"%%llm label tickets.body --none other -o out\n{_LABELS}",
    "label several": "%llm label tickets.body --labels billing,outage,how-to --multi --max-labels 2 -o out",
    "label wide": "%llm label tickets.body --labels billing,outage,how-to --multi --wide -o out",
    "label explained": "%llm label tickets.body --labels billing,outage,how-to --explain -o out",
    "label explained after": "%llm label tickets.body --labels billing,outage,how-to --explain-after -o out",
    "label scores": "%llm label tickets.body --labels billing,outage,how-to --scores -o out",
    "label calibrated": "%llm label tickets.body --labels billing,outage,how-to --calibrate -o out",
    "label votes": "%llm label tickets.body --labels billing,outage,how-to --votes 3 -o out",
    "label examples": "%llm label tickets.body --labels billing,outage,how-to --examples gold:text,topic -o out",
    "label nearest": (
        "%llm label tickets.body --labels billing,outage,how-to --examples gold:text,topic --dynamic --k 2 -o out"
    ),
    "label shared": "%llm label tickets.body --labels billing,outage,how-to --rows-per-request 3 -o out",
    "label long": "%llm label tickets.body --labels billing,outage,how-to --too-long split --room 4 -o out",
    "label proposed": "%llm label tickets.body --propose 3 -o out",
    "generate": "%%llm generate tickets -o out\nAnswer this {stars}-star ticket for {@brand}: {body}",
    "generate two": (
        "%%llm generate tickets -N 2 -p temperature=0.8 -p max_tokens=40 --stop END --system 'Be brief.' -o out\n"
        "Answer: {body}"
    ),
    "generate formatted": "%%llm generate tickets -m warm -p prompt_format=chatml --rows-per-request 1 -o out\n{body}",
    "summarize": "%llm summarize tickets --on body --max-words 5 --focus money -o out",
    "summarize long": "%llm summarize tickets --on body --too-long split --room 4 -o out",
    "translate": "%llm translate tickets --on body --to German -o out",
    "extract": (
        "%%llm extract tickets.body -o out\nproduct: the product, null if absent\nprice float: in euros\n"
        "defects list[str]: each defect\ntone one of calm|annoyed|angry"
    ),
    "extract records": "%%llm extract tickets.body --many -o out\nthing: what is named\nn int: how many",
    "extract spans": "%%llm extract tickets.body --spans -o out\nthing: a noun\nmonth: a month",
    "extract model": "%llm extract tickets.body --schema Ticket -o out",
    "judge": "%%llm judge tickets --on reply --context body --scale 1-7 -o out\npoliteness",
    "judge ranks": "%%llm judge drafts --on a,b -o out\nthe longer the better",
    "embed": "%llm embed tickets.body -o out",
    "embed by name": "%llm embed tickets.body -m vectors -o out",
    "chat": "%%llm chat --thread one --context tickets:2 -o answer\nWhat is it about?",
    "chat goes on": "%%llm chat --thread one -o answer\nAnd then?",
    "concepts": "%%llm concepts reviews.text --seed 'reasons for a return' --max-concepts 3 --static -o out\nBe concrete.",
    "ollama": "%llm label tickets.body --labels billing,outage,how-to -m llama -o out",
    "ollama embed": "%llm embed tickets.body -m llama -o out",
    "anthropic": "%llm label tickets.body --labels billing,outage,how-to -m claude -o out",
    "function": "%%llm generate tickets -m mine -o out\nSay {body}",
    "python": "out = llm_magics.label(tickets, {'billing': 'money', 'outage': 'down'}, on='body', guidance='Be fair.')",
}
"""Name -> a cell that binds ``out`` to a frame or a concept set, or ``answer`` to a text."""

RESULT = """
import json
def plain(value):
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float):
        return None if value != value else round(value, 5)
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    return value if isinstance(value, (str, int, bool, type(None))) else str(value)
def result(found):
    if isinstance(found, str):
        return found
    if hasattr(found, "scores"):
        return {"names": found.names, "scores": plain(found.scores.to_numpy())}
    return {str(name): plain(found[name].astype(object).where(found[name].notna(), None).tolist()) for name in found}
print(json.dumps(result(__NAME__)))
"""


def answer(request: Mapping[str, Any]) -> str:
    """What the model says: the scripted concept steps, else whatever the schema or the prompt asks for."""
    form = request.get("response_format") or {}
    if form.get("type") == "json_schema" and form["json_schema"]["name"] in scripted._ANSWERS:
        return scripted.answer(request)
    name = form["json_schema"]["name"] if form.get("type") == "json_schema" else ""
    if name == "labels":
        return json.dumps(
            {"labels": [{"name": "money", "description": "a payment"}, {"name": "fault", "description": ""}]}
        )
    if name == "entities":
        return json.dumps(
            {"entities": [{"label": "thing", "text": "app"}, {"label": "month", "text": "May"}]}
        )
    text = last_user_text(request)
    words = {"charged": "billing", "refund": "billing", "down": "outage", "export": "how-to"}
    label = next((label for word, label in words.items() if word in text), None)
    made = default_answer(request)
    if label is not None and form.get("type") == "json_schema" and made.startswith('{"label"'):
        return json.dumps({**json.loads(made), "label": label})
    return made


def chances(request: Mapping[str, Any], names: Any = None) -> dict[str, float]:
    """Probabilities of the labels: money tickets are billing, the others not so surely."""
    text = last_user_text(request)
    return (
        {"billing": 0.8, "outage": 0.15, "how-to": 0.05}
        if "charged" in text
        else {"billing": 0.2, "outage": 0.5, "how-to": 0.3}
    )


def run(k: Kernel, name: str, cell: str) -> Any:
    """Run a cell and give its result as plain JSON."""
    k.run(cell)
    bound = "answer" if name.startswith("chat") else "out"
    return json.loads(k.run(RESULT.replace("__NAME__", bound)).stdout.strip().splitlines()[-1])


def gold_labels(k: Kernel) -> Any:
    """The column of gold labels in a new review of the last run."""
    out = k.run(
        "print(json.dumps([plain(each) for each in llm_magics.review().df['label_gold'].astype(object)]))"
    )
    return json.loads(out.stdout.strip().splitlines()[-1])


def main() -> None:
    """Make the fixture with the code that is installed."""
    home = Path(tempfile.mkdtemp())
    os.environ["FAST_KEY"] = "not-a-key"
    results: dict[str, Any] = {}
    claude = serve(Anthropic(key="not-a-key"))
    llama = serve(Ollama(key=""))
    claude.port, llama.port = ANTHROPIC, OLLAMA
    with (
        Server(answer=answer, chances=chances, port=OPENAI),
        llama,
        claude,
        kernel({"LLM_MAGICS_HOME": str(home)}) as k,
    ):
        k.run(SETUP)
        k.run(BACKENDS)
        for name, cell in CELLS.items():
            results[name] = run(k, name, cell)
            if name == "label":
                k.run("review = llm_magics.review()\nreview.accept(0)\nreview.correct(1, 'billing')")
                results["gold labels"] = gold_labels(k)
            if name == "concepts":
                k.run(f"out.merge(*out.names[:2], name='merged'); out.save({str(home / 'themes.json')!r})")
        k.run("%llm_config profile save kept")
        k.run("%reset -f")
    for database in home.glob("*.sqlite3"):
        with sqlite3.connect(database) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("PRAGMA journal_mode=DELETE")
            connection.execute("VACUUM")
    shutil.rmtree(HERE, ignore_errors=True)
    HERE.mkdir(parents=True)
    for path in sorted(home.rglob("*")):
        if path.is_file() and path.name.endswith((".sqlite3", ".toml", ".json")):
            target = HERE / path.relative_to(home)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    (HERE / "results.json").write_text(
        json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
