"""Every notebook runs from top to bottom on a real database, in a kernel of its own, under the role of analysts."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import nbformat
import pytest
from deriving import derive
from running_notebooks import NOTEBOOKS, execute, outputs_of
from sample_entries import append_all, decision, outcome

from precedent.clock import to_instant
from precedent.settings import project_root

JANUARY_2012_US = 1_325_376_000_000_000
DAY_US = 86_400_000_000


@pytest.fixture
def environment(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRECEDENT_DATABASE_URL", database_url)
    monkeypatch.setenv("PRECEDENT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))


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


@pytest.mark.usefixtures("environment")
def test_a_feature_and_the_precedents_of_a_case_are_told_and_drawn(database_url: str, tmp_path: Path) -> None:
    for number in range(6):
        day = JANUARY_2012_US + number * DAY_US
        made = decision(number % 2, as_of=to_instant(day))
        append_all(database_url, [made])
        append_all(database_url, [outcome(made.entry_id, 1_000_000 if number % 2 else 250_000, as_of=to_instant(day + DAY_US))])
    derive(database_url, date(2012, 1, 1), date(2012, 1, 8), tmp_path)
    text, kinds = outputs_of(execute(project_root() / "notebooks" / "feature_origins.ipynb", tmp_path))
    assert "features counted again, 0 differ" in text
    assert "image/png" in kinds
    text, kinds = outputs_of(execute(project_root() / "notebooks" / "precedents_of_a_case.ipynb", tmp_path))
    assert "finance/approve_discount, approve; 5 precedents of 5" in text
    assert "5 of 5 had the verdict of the case; their mean reward is 0.55" in text
    assert "image/png" in kinds


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("name", ["feature_origins", "precedents_of_a_case"])
def test_a_notebook_of_what_was_never_derived_says_so(name: str, tmp_path: Path) -> None:
    text, kinds = outputs_of(execute(project_root() / "notebooks" / f"{name}.ipynb", tmp_path))
    assert "run `precedent backfill" in text
    assert "image/png" not in kinds


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_committed_notebook_holds_no_output(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None), f"clear the output of {path.name}, then commit"
