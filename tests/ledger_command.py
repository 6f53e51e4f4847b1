"""`precedent ledger …` as typed, within the test's own process."""

from __future__ import annotations

import pytest

from precedent.cli import main


def run_ledger(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Its exit code, what it printed, and what it complained of."""
    monkeypatch.setattr("sys.argv", ["precedent", "ledger", *arguments])
    code = 0
    try:
        main.main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    return code, *capsys.readouterr()
