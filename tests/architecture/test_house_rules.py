"""House rules that no linter knows. What imports what is held by import-linter in `make check`."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from precedent.settings import project_root

ROOT = project_root()
ROOMS = ("precedent", "api", "dagster_project")
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 40
# Protocols that must be read in one go, and migrations, which are a list of statements.
MAY_BE_LONGER = {("decide.py", "_prepare"), ("0001_create_the_ledger_and_its_projections.py", "upgrade")}


def sources() -> list[Path]:
    return sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the body without its docstring and signature."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_the_rooms_hold_something() -> None:
    assert len(sources()) > 50


def test_dbt_is_no_package() -> None:
    """An `__init__.py` there hides the real dbt: `dbt.cli` vanishes."""
    assert (ROOT / "dbt" / "dbt_project.yml").exists()
    assert not (ROOT / "dbt" / "__init__.py").exists()


def test_the_lock_holds_versions_and_hashes_and_no_address() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert not [line for line in lines if "://" in line or line.startswith(("-", "#"))]
    assert sum("==" in line for line in lines) > 100
    assert all(re.match(r"[a-z0-9._-]+(\[.+\])?==\S+( ;.*)? \\$|    --hash=sha256:[0-9a-f]{64}( \\)?$", line) for line in lines)


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_FILE_LINES
    too_long = {(path.name, function.name) for function in functions(path) if body_lines(function) > MAX_FUNCTION_LINES}
    assert too_long <= MAY_BE_LONGER


def test_no_place_is_named_after_nothing() -> None:
    vague = {"utils", "helpers", "common", "manager", "base", "misc"}
    assert [path for path in sources() if path.stem in vague or path.parent.name in vague] == []


def test_make_help_lists_every_target() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    told = subprocess.run(["make", "-C", ROOT, "--no-print-directory", "help"], capture_output=True, text=True, check=True).stdout
    assert targets == {line.split()[0] for line in told.splitlines()}
    assert {
        "up",
        "down",
        "status",
        "dev",
        "test",
        "test-long",
        "check",
        "bench",
        "smoke",
        "notebooks",
        "lock",
        "format",
        "clean",
    } <= targets


def test_what_ci_runs_is_what_a_developer_runs() -> None:
    script = (ROOT / ".ci" / "run").read_text().splitlines()
    assert [line for line in script if line.startswith("make ")] == ["make check </dev/null", "make test </dev/null"]
