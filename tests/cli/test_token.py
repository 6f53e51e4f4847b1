"""`precedent token` on a real database: what is printed works, and what is listed holds no secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from precedent.cli.token import app
from precedent.guard.access import Principal, is_valid_token, principal_of


@pytest.fixture(autouse=True)
def environment(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRECEDENT_DATABASE_URL", database_url)
    monkeypatch.setenv("COLUMNS", "250")


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout.strip()


def test_a_token_is_made_with_a_rate_followed_listed_and_revoked(database_url: str) -> None:
    first = run("create", "bulk-load", "--scope", "import", "--scope", "events:write", "--node", "finance", "--rate", "5000")
    assert principal_of(database_url, first) == Principal(
        "bulk-load", frozenset({"import", "events:write"}), frozenset({"finance"}), 5000.0
    )
    second = run("rotate", "bulk-load", "--overlap-hours", "0", "--rate", "0.5")
    assert (is_valid_token(database_url, first), principal_of(database_url, second).rate_per_second) == (False, 0.5)
    run("create", "usual", "--scope", "read")
    listed = run("list")
    rows = [line.split() for line in listed.splitlines()]
    assert [("5000" in row, "0.5" in row) for row in rows if "bulk-load" in row] == [(True, False), (False, True)]
    assert not [secret for secret in (first, second) if secret in listed]
    assert run("revoke", "bulk-load").startswith("2 revoked")
    assert not is_valid_token(database_url, second)
