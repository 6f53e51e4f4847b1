"""Runs a notebook in a kernel of its own, and reads what it showed."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient

from precedent.settings import project_root

NOTEBOOKS = sorted((project_root() / "notebooks").glob("*.ipynb"))


def execute(path: Path, folder: Path) -> nbformat.NotebookNode:
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    return notebook


def outputs_of(notebook: nbformat.NotebookNode) -> tuple[str, list[str]]:
    """All text, and the kinds of everything shown."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    text = "".join(output.get("text", "") or str(output.get("data", {}).get("text/plain", "")) for output in outputs)
    return text, [kind for output in outputs for kind in output.get("data", {})]
