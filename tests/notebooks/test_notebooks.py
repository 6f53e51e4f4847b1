"""Every notebook runs from top to bottom on a real database, in a kernel of its own, under the role of analysts."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from sample_entries import append_all, decision

from precedent.clock import to_instant
from precedent.settings import project_root

NOTEBOOKS = sorted((project_root() / "notebooks").glob("*.ipynb"))
JANUARY_2012_US = 1_325_376_000_000_000
DAY_US = 86_400_000_000


@pytest.fixture
def environment(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRECEDENT_DATABASE_URL", database_url)
    monkeypatch.setenv("PRECEDENT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))


def execute(path: Path, folder: Path) -> nbformat.NotebookNode:
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    return notebook


def outputs_of(notebook: nbformat.NotebookNode) -> tuple[str, list[str]]:
    """All text, and the kinds of everything shown."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    text = "".join(output.get("text", "") or str(output.get("data", {}).get("text/plain", "")) for output in outputs)
    return text, [kind for output in outputs for kind in output.get("data", {})]


@pytest.mark.usefixtures("environment")
def test_decisions_over_time_counts_what_was_planted_and_draws_it(database_url: str, tmp_path: Path) -> None:
    days = [to_instant(JANUARY_2012_US + day * DAY_US) for day in range(3)]
    drafts = [decision(number, as_of=day) for day in days for number in range(2)]
    append_all(database_url, [*drafts, decision(9, verdict="escalate", as_of=days[0])])
    text, kinds = outputs_of(execute(project_root() / "notebooks" / "decisions_over_time.ipynb", tmp_path))
    assert "7 decisions on 3 days" in text
    assert "0.857143" in text  # 6 of 7 approved, at level 2
    assert "image/png" in kinds


@pytest.mark.usefixtures("environment")
def test_decisions_over_time_runs_on_an_empty_ledger(tmp_path: Path) -> None:
    text, _ = outputs_of(execute(project_root() / "notebooks" / "decisions_over_time.ipynb", tmp_path))
    assert "0 decisions on 0 days" in text


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_committed_notebook_holds_no_output(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None), f"clear the output of {path.name}, then commit"
