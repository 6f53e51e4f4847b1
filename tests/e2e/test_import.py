"""The command against a real API process and a real database: real loan applications where they are at hand, else our own rows."""

import csv
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import psycopg
import pytest
from running_api import ApiProcess, Installation, wait_until

from precedent.guard.access import create_token
from precedent.settings import project_root

MAPPING = project_root() / "examples/bpic2012/mapping.yaml"
HEADER = ["case_id", "amount_requested_eur", "submitted_at", "outcome", "offers", "closed_at"]


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "precedent.cli.main", *map(str, arguments)]


def environment(api: ApiProcess, home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PRECEDENT_")}
    return kept | {"PRECEDENT_HOME": str(home), "PRECEDENT_URL": api.url, "PRECEDENT_TOKEN": api.token}


def run(api: ApiProcess, home: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), env=environment(api, home), capture_output=True, text=True, timeout=240)


def counts(api: ApiProcess) -> dict[str, int]:
    with psycopg.connect(api.database_url) as connection:
        found = {}
        for table in ("events", "decisions", "outcomes"):
            row = connection.execute(f"select count(*) from precedent.{table}").fetchone()
            assert row is not None
            found[table] = row[0]
        return found


def write_cases(path: Path, count: int) -> None:
    """Cases an hour apart; every tenth is open, and row 5 names no amount."""
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(HEADER)
        for number in range(count):
            at = datetime(2011, 10, 3, tzinfo=UTC) + timedelta(hours=number)
            is_open = number % 10 == 9
            amount = "" if number == 3 else f"{100 * (number % 500)}.50"
            out.writerow(
                [
                    number,
                    amount,
                    at.isoformat(),
                    "open" if is_open else "approved",
                    1,
                    "" if is_open else (at + timedelta(days=3)).isoformat(),
                ]
            )


def test_the_first_300_real_cases_go_through_and_again_without_doubles(api_server: ApiProcess, shared: Path, tmp_path: Path) -> None:
    log, home = shared / "data/bpic2012/cases.csv", tmp_path / "client"
    first = run(api_server, home, "import", log, "--mapping", MAPPING, "--limit", "300", "--strict")
    assert first.returncode == 0, first.stderr
    rows = list(csv.DictReader(log.read_text().splitlines()))[:300]
    closed = sum(row["outcome"] != "open" for row in rows)
    assert counts(api_server) == {"events": 300, "decisions": 300, "outcomes": closed}
    for again in ("--resume", "--strict"):
        assert run(api_server, home, "import", log, "--mapping", MAPPING, "--limit", "300", again).returncode == 0
    assert counts(api_server) == {"events": 300, "decisions": 300, "outcomes": closed}
    longer = run(api_server, home, "import", log, "--mapping", MAPPING, "--limit", "400", "--resume")
    assert longer.returncode == 0, longer.stderr
    assert counts(api_server)["decisions"] == 400
    require_business_time(api_server, rows)
    require_derived_again(api_server, home, 400)


def require_derived_again(api: ApiProcess, home: Path, count: int) -> None:
    """Every decision of real applications follows, byte by byte, from what was recorded with it."""
    database = {"PRECEDENT_DATABASE_URL": api.database_url}
    done = subprocess.run(command("replay", "--verify", "--json"), env=environment(api, home) | database, capture_output=True, text=True)
    told = orjson.loads(done.stdout)
    assert (done.returncode, told["decisions"], told["equal"], told["findings"]) == (0, count, count, [])


def require_business_time(api: ApiProcess, rows: list[dict[str, str]]) -> None:
    """Each decision stands at its submission, linked to its event, with the amount to the cent; each outcome at the case's end."""
    with psycopg.connect(api.database_url) as connection:
        found = connection.execute(
            """select d.correlation_id, d.ts, d.known_at, d.imported, d.inputs, e.correlation_id, o.observed_at, o.imported, o.metrics
               from precedent.decisions d join precedent.events e on e.id = d.event_id
               left join precedent.outcomes o on o.decision_id = d.id"""
        ).fetchall()
    by_case = {row[0].removeprefix("bpic2012-"): row for row in found}
    for row in rows:
        correlation_id, ts, known_at, imported, inputs, event_correlation_id, observed_at, outcome_imported, metrics = by_case[
            row["case_id"]
        ]
        assert ts == known_at == datetime.fromisoformat(row["submitted_at"])
        assert correlation_id == event_correlation_id
        assert imported is True
        assert inputs["amount_requested"] == int(row["amount_requested_eur"]) * 100
        if row["outcome"] == "open":
            assert metrics is None
        else:
            assert observed_at == datetime.fromisoformat(row["closed_at"])
            assert outcome_imported is True
            assert metrics["outcome"] == row["outcome"]


def test_rejected_rows_are_told_with_their_line_and_fail_only_a_strict_import(api_server: ApiProcess, tmp_path: Path) -> None:
    log, home = tmp_path / "cases.csv", tmp_path / "client"
    write_cases(log, 50)
    done = run(api_server, home, "import", log, "--mapping", MAPPING)
    assert done.returncode == 0, done.stderr
    assert "line 5, row: amount_requested_eur is empty (EMPTY)" in done.stdout
    (rejected,) = (home / "imports").glob("*.rejected.ndjson")
    assert [orjson.loads(line)["row"] for line in rejected.read_bytes().splitlines()] == [5]
    assert counts(api_server) == {"events": 49, "decisions": 49, "outcomes": 44}
    assert run(api_server, home, "import", log, "--mapping", MAPPING, "--strict").returncode == 1


@pytest.fixture
def slow_log(tmp_path: Path) -> Path:
    log = tmp_path / "cases.csv"
    write_cases(log, 3000)
    return log


def test_a_killed_import_goes_on_without_doubles(api_server: ApiProcess, slow_log: Path, tmp_path: Path) -> None:
    home = tmp_path / "client"
    arguments = ("import", slow_log, "--mapping", MAPPING)
    with subprocess.Popen(command(*arguments), env=environment(api_server, home), stdout=subprocess.DEVNULL) as process:
        wait_until(lambda: counts(api_server)["decisions"] >= 400, 60, "the import to be under way")
        process.kill()
    assert counts(api_server)["decisions"] < 2999
    done = run(api_server, home, *arguments, "--resume")
    assert done.returncode == 0, done.stderr
    assert counts(api_server) == {"events": 2999, "decisions": 2999, "outcomes": 2699}


def test_an_api_killed_under_the_import_is_waited_for_and_nothing_is_lost_or_doubled(
    api_server: ApiProcess, slow_log: Path, tmp_path: Path
) -> None:
    arguments = command("import", slow_log, "--mapping", MAPPING)
    with subprocess.Popen(arguments, env=environment(api_server, tmp_path / "client"), stdout=subprocess.DEVNULL) as process:
        wait_until(lambda: counts(api_server)["decisions"] >= 400, 60, "the import to be under way")
        api_server.kill()
        assert counts(api_server)["decisions"] < 2999
        installation = Installation(api_server.settings, api_server.database_url, api_server.token)
        second = ApiProcess(installation, tmp_path / "second.log", int(api_server.url.rpartition(":")[2]))
        try:
            assert process.wait(timeout=120) == 0
        finally:
            second.kill()
    assert counts(api_server) == {"events": 2999, "decisions": 2999, "outcomes": 2699}


def test_an_api_out_of_reach_is_told_with_how_to_go_on(api_server: ApiProcess, tmp_path: Path) -> None:
    log = tmp_path / "cases.csv"
    write_cases(log, 5)
    api_server.kill()
    done = run(api_server, tmp_path / "client", "import", log, "--mapping", MAPPING, "--patience", "1")
    assert done.returncode == 2
    assert "--resume" in done.stderr


def test_a_token_without_the_right_to_import_is_refused_as_a_whole(api_server: ApiProcess, tmp_path: Path) -> None:
    log = tmp_path / "cases.csv"
    write_cases(log, 5)
    token = create_token(api_server.database_url, "weak", ("events:write", "decisions:write", "outcomes:write"))
    done = run(api_server, tmp_path / "client", "import", log, "--mapping", MAPPING, "--token", token)
    assert done.returncode == 1
    assert "SCOPE_MISSING" in done.stderr
    assert counts(api_server)["events"] == 0


def test_a_simulation_is_loaded_once_and_its_truth_names_real_decisions(api_server: ApiProcess, tmp_path: Path) -> None:
    home, truth = tmp_path / "client", tmp_path / "truth.ndjson"
    arguments = ("simulate", "--seed", "7", "--days", "5", "--rate", "30", "--truth", truth)
    assert run(api_server, home, *arguments).returncode == 0
    first = counts(api_server)
    assert run(api_server, home, *arguments).returncode == 0
    assert counts(api_server) == first
    told = {orjson.loads(line)["decision_id"]: orjson.loads(line)["is_approved"] for line in truth.read_bytes().splitlines()}
    with psycopg.connect(api_server.database_url) as connection:
        rows = connection.execute("select id, verdict, entities from precedent.decisions").fetchall()
    assert told == {str(row[0]): row[1] == "approve" for row in rows}
    assert all("customer" in row[2] for row in rows)
    assert "C-0" not in str([row[2] for row in rows])
