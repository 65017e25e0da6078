"""What loading costs, and how soon the first label is there. Fresh processes, medians.

    python tests/benchmarks/startup.py [--rounds 7]

Targets: the extension at most 0.15 s over IPython's own start; the first labelled row at most 1.5 s
after the load, on the embedded default, pandas being imported by the notebook already.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

CODE = """
import json, time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
import pandas as pd
reviews = shell.user_ns["reviews"] = pd.DataFrame({"text": ["I was charged twice", "the app crashes"]})
began = time.perf_counter()
shell.run_line_magic("load_ext", "llm_magics")
loaded = time.perf_counter()
shell.run_line_magic("llm", "label reviews.text --labels billing,crash -q")
print(json.dumps({"load": loaded - began, "first label": time.perf_counter() - loaded}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    taken: dict[str, list[float]] = {}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as home:
            env = {**os.environ, "LLM_MAGICS_HOME": home}
            done = subprocess.run(
                [sys.executable, "-c", CODE], env=env, capture_output=True, text=True, check=True
            )
        for name, seconds in json.loads(done.stdout.strip().splitlines()[-1]).items():
            taken.setdefault(name, []).append(seconds)
    print(f"load average {os.getloadavg()[0]:.1f}\n\n| step | median s | least s |\n|---|---|---|")
    for name, seconds in taken.items():
        print(f"| {name} | {statistics.median(seconds):.3f} | {min(seconds):.3f} |")


if __name__ == "__main__":
    main()
