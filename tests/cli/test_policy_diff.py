"""`precedent policy diff`: text, regions and recorded decisions; and the blast radius before a version is put to work."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from policy_steps import states
from replaying import append_deals
from running_api import install
from typer.testing import CliRunner, Result

from precedent.cli import blast_radius
from precedent.cli.policy import app
from precedent.policy.registry import publish
from tests.policy.shipped import FINANCE, compiled, finance_with

COUNT = 150
ACTIVE, NEXT = "finance-constitution@1.1.0", "finance-constitution@1.7.0"
TEXT = finance_with(("version: 1.0.0", "version: 1.7.0"), ("max_discount: 0.15", "max_discount: 0.13"))


@pytest.fixture(scope="module")
def url(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    made = install(module_database_url, tmp_path_factory.mktemp("home"))
    append_deals(module_database_url, compiled(FINANCE), COUNT)
    publish(module_database_url, made.settings, TEXT, "next", "tests")
    return module_database_url


@pytest.fixture(autouse=True)
def environment(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRECEDENT_DATABASE_URL", url)
    monkeypatch.setenv("PRECEDENT_HOME", str(tmp_path / "home"))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def test_two_published_versions_are_compared_in_text_answers_and_decisions() -> None:
    output = run("diff", ACTIVE, NEXT).output
    assert "-      - name: full" not in output
    assert "-        with: {max_discount: 0.15, min_margin: 0.22}" in output
    assert "+        with: {max_discount: 0.13, min_margin: 0.22}" in output
    assert "approve AL3 by full → escalate by otherwise" in output
    assert "such as deal_value" in output
    assert f"{NEXT} beside {ACTIVE}, the last 1,000" in output
    assert "approve AL3 → escalate" in output
    assert "customer_tier: B" in output


def test_json_and_picture_tell_the_same(tmp_path: Path) -> None:
    (tmp_path / "candidate.yaml").write_text(TEXT)
    told = json.loads(run("diff", "finance-constitution", "candidate.yaml", "--json", "--svg", "flips.svg", "--last", "100").stdout)
    assert (told["before"], told["after"]) == (ACTIVE, f"{NEXT} (candidate.yaml)")
    assert "+++ candidate.yaml" in told["text"]
    [found] = told["regions"]
    assert found["regions"][0]["before"]["verdict"] == "approve"
    assert found["regions"][0]["after"]["verdict"] == "escalate"
    assert found["open"] == []
    recorded = told["recorded"]
    assert recorded["read"] == 100
    assert sum(move["count"] for move in recorded["moves"]) == recorded["flips"] > 0
    assert f"{recorded['flips']:,} of 100 decisions flip" in (tmp_path / "flips.svg").read_text()


def test_a_version_beside_itself_differs_in_nothing() -> None:
    output = run("diff", ACTIVE, ACTIVE).output
    assert "the same" in output
    assert "approve_discount: the answers are the same everywhere" in output
    assert "0 flips" in output


def test_without_the_solver_the_rest_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "precedent.policy.analyse.difference", None)
    output = run("diff", ACTIVE, NEXT).output
    assert "not analysed: the extra 'analyse' is not installed" in output
    assert "approve AL3 → escalate" in output


def test_without_a_database_two_files_are_compared_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRECEDENT_DATABASE_URL", "postgresql://nobody@127.0.0.1:9/nothing")
    (tmp_path / "a.yaml").write_text(finance_with())
    (tmp_path / "b.yaml").write_text(TEXT)
    answer = run("diff", "a.yaml", "b.yaml", "--svg", "flips.svg")
    assert "not compared: couldn't connect to the database" in answer.output
    assert answer.exit_code == 1
    assert not (tmp_path / "flips.svg").exists()


def test_a_window_without_decisions_is_said() -> None:
    assert "no decision of these actions lies there" in run("diff", ACTIVE, NEXT, "--window", "1h").output


def test_activation_shows_the_blast_radius_first(url: str) -> None:
    output = run("activate", NEXT, "--last", "100").output
    assert output.index("blast radius:") < output.index(f"{NEXT} is active")
    assert f"{NEXT} beside {ACTIVE}, the last 100" in output
    assert "approve AL3 → escalate" in output
    assert states(url)[NEXT] == "active"
    assert "blast radius" not in run("activate", ACTIVE, "--last", "0").output
    assert states(url)[ACTIVE] == "active"


def test_who_says_no_activates_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def refuse(question: str, *, abort: bool) -> bool:
        asked.append(question)
        raise blast_radius.typer.Abort

    monkeypatch.setattr(blast_radius, "is_watched", lambda: True)
    monkeypatch.setattr(blast_radius.typer, "confirm", refuse)
    assert run("activate", NEXT).exit_code == 1
    assert asked == [f"activate {NEXT}?"]
    assert states(url)[ACTIVE] == "active"
    assert run("activate", NEXT, "--yes").exit_code == 0
    assert states(url)[NEXT] == "active"
