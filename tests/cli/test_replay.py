"""`precedent replay`: exit codes, JSON, a file that was never published."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from replaying import NOVEMBER_US, append_all, append_deals, decision_of
from running_api import install
from typer.testing import CliRunner, Result

from precedent.cli.replay import app
from precedent.cli.windows import window_of
from precedent.errors import FieldInvalid, PolicyNotFound
from precedent.learning.replay_worker import Window
from tests.policy.shipped import DEAL, FINANCE, compiled, finance_with

COUNT = 120


@pytest.fixture(scope="module")
def url(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    install(module_database_url, tmp_path_factory.mktemp("home"))
    append_deals(module_database_url, compiled(FINANCE), COUNT)
    return module_database_url


@pytest.fixture(autouse=True)
def environment(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRECEDENT_DATABASE_URL", url)
    monkeypatch.setenv("PRECEDENT_HOME", str(tmp_path / "home"))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def test_verify_says_100_percent_and_ends_with_0() -> None:
    answer = run("--verify")
    assert answer.exit_code == 0
    assert f"equal {COUNT} (100 %)" in answer.output
    told = json.loads(run("--verify", "--last", "10", "--json").output)
    assert (told["decisions"], told["equal"], told["is_equal"]) == (10, 10, True)


def test_a_file_that_was_never_published_is_tried(tmp_path: Path) -> None:
    file = tmp_path / "tighter.yaml"
    file.write_text(finance_with(("version: 1.0.0", "version: 7.0.0"), ("max_discount: 0.15", "max_discount: 0.13")))
    told = json.loads(run("--policy", "tighter.yaml", "--last", "100", "--json", "--limit", "3").output)
    assert (told["candidate"], told["before"], told["read"]) == ("finance-constitution@7.0.0", "recorded", 100)
    assert told["flips"] > 0
    assert len(told["differences"]) == 3
    assert {"verdict", "autonomy_level", "reasons", "rule"} <= told["differences"][0]["before"].keys()
    assert "approve AL3 → escalate" in run("--policy", "tighter.yaml").output


def test_the_active_policy_flips_nothing() -> None:
    assert (
        f"0 flips, 0 with the same verdict and level for other reasons, {COUNT} the same" in run("--policy", "finance-constitution").output
    )


@pytest.mark.parametrize("arguments", [(), ("--verify", "--policy", "x@1.0.0"), ("--verify", "--last", "3", "--from", "2025-11-01")])
def test_options_that_contradict_are_refused(arguments: tuple[str, ...]) -> None:
    with pytest.raises(FieldInvalid):
        run(*arguments)


def test_a_version_that_nobody_published_is_not_found() -> None:
    with pytest.raises(PolicyNotFound):
        run("--policy", "finance-constitution@9.9.9")


def test_days_are_included_and_instants_are_bounds() -> None:
    day_us = 86_400_000_000
    first_us = 1_761_955_200_000_000
    assert window_of(None, "2025-11-01", "2025-11-02") == Window(from_us=first_us, to_us=first_us + 2 * day_us)
    assert window_of(None, "2025-11-01T00:00:00Z", None) == Window(from_us=first_us)
    month = window_of(None, None, None, "30d")
    assert month.from_us is not None
    assert month.to_us is not None
    assert month.to_us - month.from_us == 30 * day_us
    for wrong in ("2025-13-01", "yesterday", "2025-11-01T00:00:00"):
        with pytest.raises(FieldInvalid):
            window_of(None, wrong, None)
    with pytest.raises(FieldInvalid):
        window_of(None, "2025-11-02", "2025-11-01")
    with pytest.raises(FieldInvalid):
        window_of(None, None, None, "0d")


def test_verify_names_what_differs_and_ends_with_1(url: str) -> None:
    """Last: it leaves a decision that nobody can derive."""
    append_all(url, [decision_of(compiled(FINANCE), "approve_discount", DEAL, at_us=NOVEMBER_US, changed={"verdict": "deny"})])
    answer = run("--verify", "--json")
    assert answer.exit_code == 1
    [finding] = json.loads(answer.output)["findings"]
    assert (finding["fault"], finding["paths"]) == ("differs", ["/result/verdict"])
    assert run("--verify", "--last", "1", "--allow-evaluator-change").exit_code == 1
    assert "NOT EVERY DECISION FOLLOWS" in run("--verify").output
