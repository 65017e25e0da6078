"""Pages of the documentation as notebooks, and notebooks run to their end in a real kernel."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(
    r"^```python(?P<info>[^\n]*)\n(?P<shown>.*?)^```$|^<!-- cell\n(?P<hidden>.*?)^-->$",
    re.MULTILINE | re.DOTALL,
)
NO_NETWORK = """
import socket
def _connect(self, address, _real=socket.socket.connect):
    inet = self.family in (socket.AF_INET, socket.AF_INET6)
    if inet and address[0] not in ("127.0.0.1", "localhost", "::1"):
        raise AssertionError(f"reached for {address!r}")
    return _real(self, address)
socket.socket.connect = _connect
"""


def notebook_of(page: str) -> NotebookNode:
    """The page's cells: blocks fenced as ``python`` (``python raises``: it ends in an error), in order.

    An HTML comment that begins with ``<!-- cell`` is a cell that readers don't see.
    """
    cells = []
    for match in FENCE.finditer(page):
        cell = nbformat.v4.new_code_cell((match["shown"] or match["hidden"]).strip("\n"))
        if "raises" in (match["info"] or ""):
            cell.metadata["tags"] = ["raises-exception"]
        cells.append(cell)
    return nbformat.v4.new_notebook(cells=cells)


def run(notebook: NotebookNode, folder: Path) -> NotebookNode:
    """The notebook with the outputs of a fresh kernel that reaches this machine only.

    Raises CellExecutionError where a cell fails that isn't tagged to.
    """
    kernelspec = {"name": "python3", "display_name": "Python 3"}
    copy = nbformat.from_dict({**notebook, "metadata": {"kernelspec": kernelspec}})
    copy.cells.insert(0, nbformat.v4.new_code_cell(NO_NETWORK))
    # As JupyterLab saves it: without the widgets' state, in which plotly's whole bundle would be.
    where = {"metadata": {"path": str(folder)}}
    NotebookClient(copy, timeout=100, resources=where, store_widget_state=False).execute()
    del copy.cells[0]
    return copy


def raised(cell: NotebookNode) -> bool:
    """Whether the cell ended in an error."""
    return any(output.output_type == "error" for output in cell.get("outputs", ()))


def may_raise(cell: NotebookNode) -> bool:
    """Whether the cell says that it will."""
    return "raises-exception" in cell.metadata.get("tags", ())


def said(notebook: NotebookNode) -> str:
    """All plain text that the cells put out."""
    texts = []
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            texts += [output.get("text", ""), data.get("text/plain", ""), *output.get("traceback", ())]
    return "\n".join(texts)
