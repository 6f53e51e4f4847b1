"""The table of commands: each is there, and none is loaded before it is asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module

import pytest
import typer

from precedent.cli.main import COMMANDS, main, usage


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["precedent", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_has_an_app(name: str) -> None:
    assert isinstance(import_module(COMMANDS[name][0]).app, typer.Typer)


def test_help_names_every_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--help") == 0
    assert capsys.readouterr().out == usage() + "\n"
    assert all(f"  {name} " in usage() for name in COMMANDS)


def test_no_command_is_an_error_that_shows_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch) == 2


def test_a_slip_of_the_pen_is_answered_with_the_nearest_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "stauts") == 2
    assert "no command named stauts; did you mean status?" in capsys.readouterr().err


def test_an_error_of_ours_is_one_line_and_exit_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PRECEDENT_TIME_ZONE", "Mars/Olympus")
    assert run(monkeypatch, "status") == 1
    assert capsys.readouterr().err.count("\n") == 1


ASK_FOR_HELP = """
import json, sys
from precedent.cli.main import main
sys.argv = ["precedent", "--help"]
try:
    main()
except SystemExit:
    print(json.dumps(sorted(sys.modules)))
"""


def test_help_loads_no_command_and_no_large_library() -> None:
    done = subprocess.run([sys.executable, "-c", ASK_FOR_HELP], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert "precedent.cli.main" in loaded
    assert not {"typer", "psycopg", "pydantic", "sqlalchemy", "polars", "precedent.cli.up"} & loaded
