"""Change control on the command line: a token says who approves, and everything is told in a line."""

from __future__ import annotations

from pathlib import Path

import pytest
from policy_steps import states
from running_api import Installation
from typer.testing import CliRunner

from precedent.cli.flag import app as flag_app
from precedent.cli.policy import app
from precedent.errors import PolicyVersionExists, SamePerson, ScopeMissing, TokenUnknown
from precedent.guard.access import create_token
from precedent.settings import project_root

FINANCE = project_root() / "policies/finance/finance-constitution-1.1.0.yaml"
FIRST, SECOND = "finance-constitution@1.1.0", "finance-constitution@1.5.0"


@pytest.fixture
def url(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PRECEDENT_DATABASE_URL", installation.database_url)
    monkeypatch.setenv("PRECEDENT_HOME", str(installation.settings.home_dir))
    monkeypatch.setenv("COLUMNS", "250")
    return installation.database_url


def run(*arguments: str, token: str | None = None) -> str:
    result = CliRunner().invoke(app, list(arguments), env={"PRECEDENT_TOKEN": token} if token else {})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def next_version(folder: Path) -> Path:
    """The next version beside a suite of its own."""
    for source in (FINANCE, FINANCE.with_name("finance-constitution-1.1.0_test.yaml")):
        text = source.read_text().replace("version: 1.1.0", "version: 1.5.0").replace("@1.1.0", "@1.5.0")
        (folder / source.name.replace("1.1.0", "1.5.0")).write_text(text)
    return folder / "finance-constitution-1.5.0.yaml"


def test_a_change_is_proposed_listed_approved_and_rolled_back(url: str, tmp_path: Path) -> None:
    assert "needs a second person" in run("second-person", "finance", "--on", "--reason", "two sign")
    assert "a second person is needed for: finance" in run("list")
    told = run("publish", str(next_version(tmp_path)), "--activate")
    assert f"proposed: activate {SECOND}" in told
    proposal = told.split()[-1]
    assert proposal in run("proposals")
    assert states(url)[FIRST] == "active"

    for name, scopes, error in (("weak", ["read"], ScopeMissing), ("command line", ["policies:activate"], SamePerson)):
        with pytest.raises(error):
            run("approve", proposal, token=create_token(url, name, scopes))
    with pytest.raises(TokenUnknown):
        run("approve", proposal, token="prc_unknown")
    assert "approved by checker" in run("approve", proposal, token=create_token(url, "checker", ["policies:activate"]))
    assert states(url)[SECOND] == "active"
    assert proposal not in run("proposals")
    assert "approved" in run("proposals", "--all")

    told = run("rollback", "finance-constitution", "--reason", "too many denied")
    assert f"proposed: activate {FIRST}" in told
    assert "rejected by other" in run("reject", told.split()[-1], "--reason", "no", token=create_token(url, "other", ["policies:activate"]))
    run("deactivate", SECOND, "--reason", "a complaint")
    assert states(url)[SECOND] == "deactivated"


def test_files_are_compared_with_what_was_published(url: str, tmp_path: Path) -> None:
    assert f"{FIRST}: as published, active" in run("check", str(project_root() / "policies"))
    (tmp_path / "finance").mkdir()
    (tmp_path / "finance" / FINANCE.name).write_text(FINANCE.read_text().replace("max_discount: 0.05", "max_discount: 0.06"))
    with pytest.raises(PolicyVersionExists):
        run("check", str(tmp_path))


def test_a_flag_for_what_no_policy_declares_is_set_and_said(url: str) -> None:
    told = CliRunner().invoke(flag_app, ["set", "finance", "aprove_discount", "--on", "--reason", "a slip"]).output
    assert "finance/aprove_discount is enabled up to AL3" in told
    assert (
        "no active policy declares finance/aprove_discount yet; declared are: credit/accept_application, finance/approve_discount" in told
    )
    assert "yet" not in CliRunner().invoke(flag_app, ["set", "*", "*", "--on", "--reason", "over"]).output


def test_an_activation_says_which_actions_are_still_off(url: str, tmp_path: Path) -> None:
    assert "not enabled" not in run("publish", str(next_version(tmp_path)), "--activate"), "they are on"
    CliRunner().invoke(flag_app, ["set", "finance", "approve_discount", "--off", "--reason", "a pause"])
    assert "approve_discount is not enabled yet: precedent flag set finance approve_discount --on" in run("activate", FIRST, "--yes")
