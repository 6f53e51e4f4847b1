"""What the design says of the tree, held: rooms exist and are furnished, files stay small, the project speaks of itself alone."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from precedent.settings import project_root

ROOT = project_root()
SHELLS_AND_CORE = ("precedent", "api", "dagster_project")
FOLDERS = ("precedent", "api", "dagster_project", "dbt", "policies", "notebooks", "flows", "examples", "tests", "deploy", "docs")
FILES = (
    "README.md",
    "pyproject.toml",
    "requirements.lock",
    "Makefile",
    "workspace.yaml",
    ".env.example",
    "DEVLOG.md",
    "CHANGELOG.md",
    "LICENSE",
)
ROOMS = ("policy", "ledger", "memory", "learning", "people", "guard", "adapters", "db", "cli")
LINES_LIMIT = 400
CODE = {".py", ".sql", ".sh", ".yml", ".yaml", ".html"}
# Spelled in pieces, so that this file does not hold what it looks for.
MACHINE_PATH = re.compile(r"(?<![A-Za-z0-9_.\-}])/(?:" + "|".join(("wo" + "rk", "ro" + "ot", "ho" + "me/[a-z]+")) + r")/")
OPEN_ENDS = re.compile(r"\b(?:" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X")) + r")\b")
REGISTRY = re.compile("|".join(("py" + r"pi\.org", "files" + r"\.pythonhosted", "registry" + r"\.npmjs")))


@cache
def files() -> tuple[Path, ...]:
    """Everything that is committed or would be."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return tuple(path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file())


def lines_of_text() -> Iterator[tuple[str, str]]:
    """Place and text of every line."""
    for path in files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            yield f"{path.relative_to(ROOT)}:{number}", line


def packages() -> list[Path]:
    return sorted({path.parent for path in files() if path.name == "__init__.py" and path.relative_to(ROOT).parts[0] in SHELLS_AND_CORE})


def has_public_code(path: Path) -> bool:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return any(isinstance(node, kinds) and not node.name.startswith("_") for node in body)


def is_furnished(package: Path) -> bool:
    """Whether a room, or one inside it, has a public function or class; a room of pages holds those instead."""
    inside = [path for path in files() if package in path.parents and path.name != "__init__.py"]
    return any(path.suffix == ".html" or (path.suffix == ".py" and has_public_code(path)) for path in inside)


def test_the_tree_is_the_designs() -> None:
    assert [name for name in FOLDERS if not any(ROOT / name in path.parents for path in files())] == []
    assert [name for name in FILES if not (ROOT / name).is_file()] == []
    assert [name for name in ROOMS if not (ROOT / "precedent" / name / "__init__.py").is_file()] == []


@pytest.mark.parametrize("package", packages(), ids=lambda package: str(package.relative_to(ROOT)))
def test_no_room_is_empty(package: Path) -> None:
    assert is_furnished(package)


def test_files_stay_small() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in files()
        if path.suffix in CODE and (count := len(path.read_text(encoding="utf-8").splitlines())) > LINES_LIMIT
    }
    assert long == {}


def test_no_file_names_a_machines_paths() -> None:
    assert [place for place, line in lines_of_text() if MACHINE_PATH.search(line)] == []


def test_no_file_names_a_package_registry() -> None:
    assert [place for place, line in lines_of_text() if REGISTRY.search(line)] == []


def test_nothing_is_left_to_do_later() -> None:
    assert [place for place, line in lines_of_text() if OPEN_ENDS.search(line)] == []


@pytest.mark.parametrize(
    ("pattern", "hit", "miss"),
    [
        (MACHINE_PATH, "see /" + "work/main/x", "frame" + "work/main"),
        (MACHINE_PATH, "open('/" + "root/.ssh')", "{self.root}/" + "root/x"),
        (MACHINE_PATH, "cd /" + "home/ada/x", "/" + "home/"),
        (OPEN_ENDS, "# TO" + "DO: later", "photo" + "DOcument"),
        (REGISTRY, "https://" + "py" + "pi.org/simple", "happy" + "pi_org"),
    ],
)
def test_the_patterns_find_what_they_look_for(pattern: re.Pattern[str], hit: str, miss: str) -> None:
    assert pattern.search(hit)
    assert not pattern.search(miss)


def test_the_log_tells_what_each_room_is_responsible_for() -> None:
    text = (ROOT / "DEVLOG.md").read_text()
    rooms = [f"precedent/{path.name}/" for path in (ROOT / "precedent").iterdir() if (path / "__init__.py").is_file()]
    rooms += [f"{name}/" for name in FOLDERS if name != "precedent"]
    rooms += [f"precedent/{path.name}" for path in (ROOT / "precedent").glob("*.py") if path.name != "__init__.py"]
    assert [room for room in rooms if f"`{room}`" not in text] == []


def test_decision_records_are_numbered_without_gaps_and_have_all_parts() -> None:
    records = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    assert [path.name[:4] for path in records] == [f"{number:04}" for number in range(1, len(records) + 1)]
    assert records
    for path in records:
        text = path.read_text()
        for part in ("## Context", "## Decision", "## Consequences", "## Alternatives"):
            assert part in text, f"{path.name} lacks {part}"
