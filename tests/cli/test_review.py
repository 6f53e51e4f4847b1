"""`precedent review` against a running API: list, answer, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from load import DEAL
from running_api import ApiProcess, install, serve
from typer.testing import CliRunner, Result

from precedent.cli.review import app
from precedent.client import NotNow
from precedent.guard.access import create_token


@pytest.fixture(scope="module")
def server(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    folder = tmp_path_factory.mktemp("review")
    with serve(install(module_database_url, folder / "home"), folder) as (one,):
        yield one


@pytest.fixture(autouse=True)
def environment(server: ApiProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRECEDENT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PRECEDENT_URL", server.url)
    monkeypatch.setenv("PRECEDENT_TOKEN", server.token)


@pytest.fixture(scope="module")
def asker(server: ApiProcess) -> str:
    return create_token(server.database_url, "asker", ["decisions:write"])


def decide(server: ApiProcess, asker: str, discount: float) -> dict[str, Any]:
    with server.client(authorization=f"Bearer {asker}") as client:
        found: dict[str, Any] = client.post("/decisions/finance", json=DEAL | {"requested_discount_pct": discount}).json()
    return found


def run(*arguments: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(app, arguments, input=typed)


def status_of(server: ApiProcess, decision: dict[str, Any]) -> Any:
    with psycopg.connect(server.database_url) as connection:
        return connection.execute("select status, reason from precedent.reviews where decision_id = %s", (decision["id"],)).fetchone()


def test_the_queue_is_shown_and_an_answer_bound_to_its_digest_is_recorded(server: ApiProcess, asker: str) -> None:
    escalated, acted = decide(server, asker, 0.18), decide(server, asker, 0.08)
    shown = run("list").output
    assert all(decision["id"] in shown and decision["hash"][:16] in shown for decision in (escalated, acted))
    assert escalated["id"] not in run("list", "--kind", "reversible").output
    done = run("approve", escalated["id"], "--reason", "it fits", "--digest", escalated["hash"])
    assert done.output.startswith("approved by tests, entry ")
    assert status_of(server, escalated) == ("approved", "it fits")
    assert run("reverse", acted["id"], "--reason", "wrong", "--digest", acted["hash"]).exit_code == 0
    assert status_of(server, acted) == ("reversed", "wrong")
    assert escalated["id"] in run("list", "--status", "approved").output


def test_without_a_digest_the_decision_is_shown_and_the_person_asked(server: ApiProcess, asker: str) -> None:
    decision = decide(server, asker, 0.18)
    refused = run("deny", decision["id"], "--reason", "no", typed="n\n")
    assert (refused.exit_code, status_of(server, decision)) == (1, ("open", None))
    assert decision["reason"] in refused.output
    assert run("deny", decision["id"], "--reason", "no", typed="y\n").exit_code == 0
    assert status_of(server, decision) == ("denied", "no")


def test_a_refusal_is_told_in_the_words_of_the_api(server: ApiProcess, asker: str) -> None:
    decision = decide(server, asker, 0.18)
    found = run("approve", decision["id"], "--reason", "yes", "--digest", "00")
    assert isinstance(found.exception, NotNow)
    assert found.exception.code == "DIGEST_MISMATCH"
