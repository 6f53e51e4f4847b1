"""docs/policies.md, done as a reader does it: its files written, its commands typed into one shell, its answers compared."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from running_api import ApiProcess, environment_of

from precedent.policy.hints import HINTS
from precedent.settings import project_root

DOC = project_root() / "docs" / "policies.md"
SCHEMAS = project_root() / "policies" / "_schemas"
MARK = "=== {} ==="
BLOCK = re.compile(r"(?:^`(?P<file>[^`\n]+)`\n\n)?^```(?P<kind>yaml|console)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
ANYTHING = "…"


@dataclass(frozen=True, slots=True)
class Typed:
    """One command, and what the page says it answers."""

    command: str
    wanted: str


def read_walk(text: str) -> Iterator[str | Typed]:
    """The page's steps in order: shell that writes a file, and commands."""
    for block in BLOCK.finditer(text):
        if block["kind"] == "yaml":
            assert block["file"], "every document on the page says which file it is"
            yield f"cat > '{block['file']}' <<'END_OF_FILE'\n{block['body']}END_OF_FILE"
        else:
            for part in re.split(r"^\$ ", block["body"], flags=re.MULTILINE)[1:]:
                command, _, wanted = part.partition("\n")
                yield Typed(command, wanted)


def is_answer(wanted: str, came: str) -> bool:
    """Whether it is what the page says; … stands for anything, and a command that the page gives no answer may say nothing."""
    pattern = ".*".join(re.escape(piece) for piece in wanted.rstrip("\n").split(ANYTHING))
    return re.fullmatch(pattern, came.rstrip("\n"), re.DOTALL) is not None


@pytest.fixture
def checkout(api_server: ApiProcess, tmp_path: Path) -> Path:
    """A folder that looks to the reader as theirs does, beside an API that runs."""
    folder = tmp_path / "checkout"
    shutil.copytree(SCHEMAS, folder / "policies" / "_schemas")
    (folder / ".precedent").mkdir()
    (folder / ".precedent" / "dev-token").write_text(api_server.token)
    return folder


def test_a_reader_gets_from_an_empty_file_to_an_explained_decision(checkout: Path, api_server: ApiProcess) -> None:
    steps = list(read_walk(DOC.read_text(encoding="utf-8")))
    lines = []
    for place, step in enumerate(steps):
        command = step.command.replace("http://127.0.0.1:8000", api_server.url) if isinstance(step, Typed) else step
        lines += [command, f"echo; echo '{MARK.format(place)}'"]
    port = int(api_server.url.rpartition(":")[2])
    environment = environment_of(api_server.settings, port) | {
        "COLUMNS": "300",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    shell = subprocess.run(
        ["bash"], input="exec 2>&1\n" + "\n".join(lines), cwd=checkout, env=environment, capture_output=True, text=True, timeout=120
    )
    rest, otherwise = shell.stdout, []
    for place, step in enumerate(steps):
        came, mark, rest = rest.partition(f"\n{MARK.format(place)}\n")
        assert mark, f"the shell ended early: {came[-2000:]}{shell.stderr}"
        if isinstance(step, Typed) and not is_answer(step.wanted, came):
            otherwise.append(f"$ {step.command}\n--- the page says\n{step.wanted}--- it said\n{came}")
    assert not otherwise, "\n".join(otherwise)


def test_an_answer_is_compared_with_what_the_page_says() -> None:
    assert is_answer("a…c\n", "abbc\n")
    assert is_answer("", "")
    assert is_answer("…\nlast\n", "first\nsecond\nlast\n")
    assert not is_answer("", "said something")
    assert not is_answer("a…c\n", "abbd\n")


@pytest.mark.parametrize("name", ["policy.v1.json", "suite.v1.json"])
def test_the_page_names_every_key_that_a_document_may_hold(name: str) -> None:
    schema = json.loads((SCHEMAS / name).read_text(encoding="utf-8"))
    reference = DOC.read_text(encoding="utf-8").partition("## Reference")[2]
    named = {word for code in re.findall(r"`([^`\n]+)`", reference) for word in re.findall(r"\w+", code)}
    assert sorted(set(keys_of(schema)) - named) == []


def keys_of(part: Any) -> Iterator[str]:
    for name, held in part.items() if isinstance(part, dict) else ():
        if name == "properties":
            yield from held
        yield from keys_of(held)


def test_the_page_says_of_every_problem_what_to_do() -> None:
    text = DOC.read_text(encoding="utf-8")
    for code, hint in HINTS.items():
        assert f"| `{code}` | {hint.replace('|', chr(92) + '|')} |" in text, code
