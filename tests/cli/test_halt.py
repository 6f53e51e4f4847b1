"""`precedent halt`, `resume` and `drill halt` on a real API, and without one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from running_api import NOWHERE, ApiProcess, Installation, install, serve
from typer.testing import CliRunner, Result

from precedent.cli.drill import app as drill_app
from precedent.cli.halt import app as halt_app
from precedent.cli.halting import NothingToSwitch
from precedent.cli.resume import app as resume_app
from precedent.errors import FieldInvalid
from precedent.guard.access import create_token
from precedent.guard.flags import set_flag

DEAL = {"deal_value": 12000, "base_margin_pct": 0.31, "requested_discount_pct": 0.08, "customer_tier": "A"}


@pytest.fixture(scope="module")
def running(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    folder = tmp_path_factory.mktemp("running")
    with serve(install(module_database_url, folder / "home"), folder) as (one,):
        yield one


@pytest.fixture
def serving(running: ApiProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ApiProcess]:
    """A running API, and the environment of its operator's command line; all is resumed at the end."""
    use(monkeypatch, tmp_path, running.database_url)
    yield running
    run(resume_app, "--direct", "--reason", "restored")


def use(monkeypatch: pytest.MonkeyPatch, folder: Path, database_url: str) -> None:
    monkeypatch.chdir(folder)
    for name in ("PRECEDENT_URL", "PRECEDENT_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PRECEDENT_DATABASE_URL", database_url)
    monkeypatch.setenv("PRECEDENT_HOME", str(folder / "home"))


def run(app: Callable[..., object], *arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, catch_exceptions=False)  # type: ignore[arg-type]


def reason_code(serving: ApiProcess) -> str:
    with serving.client() as client:
        answer = client.post("/decisions/finance", json=DEAL)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["reasons"][0]["code"])


def last_flag(url: str) -> tuple[object, ...]:
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "select node, action, enabled, max_level, reason, updated_by from precedent.node_flags order by updated_at desc limit 1"
        ).fetchone()
    assert row is not None
    return tuple(row)


def test_everything_is_halted_through_the_api_under_the_name_of_the_token(serving: ApiProcess) -> None:
    token = create_token(serving.database_url, "on duty", ["flags:write", "read"])
    told = run(halt_app, "--reason", "an incident", "--url", serving.url, "--token", token).output
    assert "every decision escalates as HALTED" in told
    assert f"by the API at {serving.url}, in " in told
    assert reason_code(serving) == "HALTED"
    assert last_flag(serving.database_url) == ("*", "*", False, 3, "an incident", "on duty")
    run(resume_app, "--reason", "over", "--url", serving.url, "--token", token)
    assert reason_code(serving) == "WITHIN_BROAD"


def test_a_node_is_halted_and_resumed_up_to_the_level_it_had(serving: ApiProcess) -> None:
    set_flag(serving.database_url, serving.settings, "finance", "approve_discount", True, 2, "granted", "tests")
    set_flag(serving.database_url, serving.settings, "finance", "approve_refund", False, 1, "never wanted", "tests")
    told = run(halt_app, "--node", "finance", "--reason", "margins look wrong", "--url", serving.url, "--token", serving.token).output
    assert "halted finance/approve_discount" in told
    assert "approve_refund" not in told
    assert reason_code(serving) == "NOT_ENABLED"
    with pytest.raises(NothingToSwitch, match="nothing of that is enabled; enabled: credit/"):
        run(halt_app, "--node", "finance", "--reason", "again")
    told = run(resume_app, "--node", "finance", "--reason", "they were right", "--direct").output
    assert "resumed finance/approve_discount, up to AL2" in told
    assert reason_code(serving) == "WITHIN_BROAD"
    with pytest.raises(NothingToSwitch, match=r"finance/approve_refund is off by `precedent flag`: never wanted"):
        run(resume_app, "--node", "finance", "--reason", "all of it")


def test_where_no_api_answers_or_it_refuses_the_database_is_asked(serving: ApiProcess) -> None:
    without_right = create_token(serving.database_url, "reader", ["read"])
    for number, environment in enumerate(({}, {"PRECEDENT_TOKEN": without_right}, {"PRECEDENT_TOKEN": "prc_nobody"})):
        told = CliRunner().invoke(halt_app, ["--reason", f"incident {number}"], env=environment).output
        assert "by the database, in " in told
        assert reason_code(serving) == "HALTED"
        assert last_flag(serving.database_url)[4:] == (f"incident {number}", "command line")
        run(resume_app, "--direct", "--reason", "over")


def test_an_api_that_was_named_is_the_only_way(serving: ApiProcess) -> None:
    answer = run(halt_app, "--reason", "an incident", "--url", NOWHERE, "--token", serving.token)
    assert answer.exit_code == 1
    assert "nothing was switched" in answer.output
    assert reason_code(serving) == "WITHIN_BROAD"


def test_a_halt_without_a_reason_or_of_an_action_of_no_node_is_refused(serving: ApiProcess) -> None:
    for arguments in (["--reason", " "], ["--reason", "r", "--action", "approve_discount"]):
        with pytest.raises(FieldInvalid):
            run(halt_app, "--direct", *arguments)
    assert reason_code(serving) == "WITHIN_BROAD"


def test_a_drill_measures_a_running_api_and_leaves_all_as_it_was(serving: ApiProcess) -> None:
    before = flags_of(serving.database_url)
    for _ in range(2):
        answer = run(drill_app, "halt", "--url", serving.url, "--token", serving.token, "--rounds", "2")
        assert answer.exit_code == 0, answer.output
        assert "approved behind a halt: 0" in answer.output
        assert len([line for line in answer.output.splitlines() if "acknowledged" in line]) == 2
    after = flags_of(serving.database_url)
    assert {key: flag for key, flag in after.items() if key[0] != "drill"} == before
    assert after["drill", "proceed"] == (False, 1, "a drill is over")
    assert reason_code(serving) == "WITHIN_BROAD"


def test_a_drill_that_is_halted_already_says_so(serving: ApiProcess) -> None:
    run(halt_app, "--direct", "--reason", "an incident")
    answer = CliRunner().invoke(drill_app, ["halt", "--url", serving.url, "--token", serving.token])
    assert answer.exit_code == 1
    assert "everything is halted already" in str(answer.exception)


def flags_of(url: str) -> dict[tuple[str, str], tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("select node, action, enabled, max_level, reason from precedent.node_flags").fetchall()
    return {(node, action): tuple(others) for node, action, *others in rows}


def test_without_any_api_all_is_halted_in_the_database(installation: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use(monkeypatch, tmp_path, installation.database_url)
    assert "by the database" in run(halt_app, "--reason", "an incident").output
    assert last_flag(installation.database_url)[:3] == ("*", "*", False)
