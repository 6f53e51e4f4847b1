"""The pipeline by its own doors: jobs launched over the API and from Dagster's page fill tables, and say what they did.

Dagster's webserver runs without a daemon here, and the short form is one click on its page and one `precedent backfill`;
`test_pipeline_daemon.py` has both.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from browser import open_page
from running_api import INTERNAL_TOKEN, Installation, environment_of, free_ports, install, serve, wait_until
from running_pipeline import RunningPipeline, run_pipeline
from sample_entries import append_all, decision, outcome
from starlette.testclient import TestClient

from api.app import create_app
from precedent.clock import SystemClock, to_instant
from precedent.settings import project_root

YESTERDAY = datetime.now(UTC).replace(hour=12) - timedelta(days=1)
DAY = YESTERDAY.date().isoformat()


@pytest.fixture(scope="module")
def installation(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    (port,) = free_ports(1)
    home = tmp_path_factory.mktemp("pipeline")
    return install(module_database_url, home, dagster_port=port, dagster_url=f"http://127.0.0.1:{port}")


@pytest.fixture(scope="module")
def pipeline(installation: Installation, module_database_url: str) -> Iterator[tuple[RunningPipeline, TestClient]]:
    """Dagster and the API over one ledger that knows of one decision and its outcome, both of yesterday."""
    at = to_instant(int(YESTERDAY.timestamp()) * 1_000_000)
    made = decision(1, as_of=at)
    append_all(module_database_url, [made, outcome(made.entry_id, 500_000, as_of=at)])
    with run_pipeline(installation, with_daemon=False) as running, TestClient(create_app(installation.settings, SystemClock())) as client:
        client.headers["x-internal-token"] = INTERNAL_TOKEN
        yield running, client


def rows(url: str, table: str) -> int:
    with psycopg.connect(url) as connection:
        (found,) = connection.execute("select to_regclass(%s)", (table,)).fetchone() or (None,)
        if found is None:
            return 0
        return connection.execute(f"select count(*) from {table}".encode()).fetchone()[0]  # type: ignore[index]


@pytest.mark.long
@pytest.mark.parametrize(
    ("job", "table"),
    [("aggregator", "analytics.entity_features"), ("distill", "precedent.knowledge_snapshots")],
)
def test_one_call_fills_the_table(pipeline: tuple[RunningPipeline, TestClient], module_database_url: str, job: str, table: str) -> None:
    _, client = pipeline
    assert rows(module_database_url, table) == 0
    answer = client.post(f"/jobs/{job}/run?wait=300")
    run = answer.json()
    assert (answer.status_code, run["status"], run["partition"], run["error"]) == (200, "SUCCESS", DAY, None), run
    assert rows(module_database_url, table) > 0
    told = client.get(f"/jobs/runs/{run['run_id']}").json()
    assert told["log"] == run["log"]
    assert f'Finished execution of run for "{job}".' in " ".join(told["log"])
    assert told["page"].endswith(f"/runs/{run['run_id']}")


def test_the_page_draws_the_lineage_and_a_click_launches_a_run_that_succeeds(pipeline: tuple[RunningPipeline, TestClient]) -> None:
    running, _ = pipeline
    with open_page() as page:
        page.goto(f"{running.url}/locations/precedent/asset-groups/warehouse/lineage")
        page.get_by_text("entity_features", exact=True).first.wait_for()
        page.get_by_text("int_entities_daily_activity", exact=True).first.wait_for()
        assert page.locator("svg path").count() > 10, "edges are drawn between the models"

        before = {run["runId"] for run in running.runs(pipelineName="scorecards")}
        page.goto(f"{running.url}/locations/precedent/jobs/scorecards")
        page.get_by_role("button", name="Materialize").first.click()
        # Dagster asks where the panel is not built yet, as in the short form.
        confirm, told = page.get_by_role("button", name="Confirm"), page.get_by_text("Launched run")
        confirm.or_(told).first.wait_for()
        if confirm.is_visible():
            confirm.click()
        told.wait_for()

    def launched() -> list[dict[str, Any]]:
        return [run for run in running.runs(pipelineName="scorecards") if run["runId"] not in before]

    wait_until(lambda: all(run["status"] == "SUCCESS" for run in launched()), 120, "the run to succeed")
    (run,) = launched()
    assert run["tags"]["dagster/from_ui"] == "true"


def backfill(installation: Installation, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`precedent backfill` as typed, against an API of its own before the running Dagster."""
    with serve(installation, folder) as (api,):
        return subprocess.run(
            [sys.executable, "-c", "from precedent.cli.main import main; main()", "backfill", *arguments],
            env=environment_of(installation.settings, api.port),
            cwd=project_root(),
            capture_output=True,
            text=True,
            timeout=300,
        )


def test_a_backfill_tells_what_was_made_of_all_that_is_to_be_made(
    pipeline: tuple[RunningPipeline, TestClient], installation: Installation, module_database_url: str, tmp_path: Path
) -> None:
    running, _ = pipeline
    first = (YESTERDAY - timedelta(days=1)).date().isoformat()
    done = backfill(installation, tmp_path, "--from", first, "--to", DAY, "--job", "distill")
    (run,) = running.runs(tags=[{"key": "dagster/asset_partition_range_start", "value": first}])
    page = f"{running.url}/runs/{run['runId']}"
    assert (done.returncode, done.stdout) == (0, f"distill for {first} to {DAY}: success, 4 of 4 assets made for all days, {page}\n"), (
        done.stderr
    )
    assert "4/4" in done.stderr
    assert rows(module_database_url, "precedent.knowledge_snapshots") == 1


@pytest.mark.long
@pytest.mark.parametrize(
    ("job", "tables"),
    [
        ("aggregator", ["analytics.entity_features", "analytics.decision_daily"]),
        ("distill", ["precedent.knowledge_snapshots", "precedent.decision_embeddings_384"]),
    ],
)
def test_two_runs_of_one_day_at_once_leave_the_rows_of_one(
    pipeline: tuple[RunningPipeline, TestClient], module_database_url: str, job: str, tables: list[str]
) -> None:
    """Nothing queues them here: each has a process, and the database lets one derive at a time."""
    running, _ = pipeline

    def found() -> list[list[tuple[Any, ...]]]:
        with psycopg.connect(module_database_url) as connection:
            return [
                connection.execute(f"select to_jsonb(t) - 'ledger_size' from {table} t order by 1".encode()).fetchall() for table in tables
            ]

    before = found()
    assert all(before)
    if job == "distill":
        with psycopg.connect(module_database_url) as connection:
            for table in tables:
                connection.execute(f"delete from {table}".encode())
    both = [running.launch(job, DAY) for _ in range(2)]
    assert [run["status"] for run in running.ended(2, runIds=both)] == ["SUCCESS", "SUCCESS"]
    assert found() == before


@pytest.mark.long
def test_a_run_that_fails_says_of_what_and_so_does_the_command(
    pipeline: tuple[RunningPipeline, TestClient], installation: Installation, module_database_url: str, tmp_path: Path
) -> None:
    running, client = pipeline
    with psycopg.connect(module_database_url) as connection:
        connection.execute("update precedent.knowledge_snapshots set summary = summary || ' 4711 more.'")
    run = client.post("/jobs/distill/run?wait=300").json()
    assert run["status"] == "FAILURE"
    assert "words_hold_no_foreign_number" in run["error"]
    failed = backfill(installation, tmp_path, "--days", "1", "--job", "distill")
    assert failed.returncode == 1
    assert failed.stdout.startswith(f"distill for {DAY} to {DAY}: failure, ")
    assert "words_hold_no_foreign_number" in failed.stderr
    with open_page() as page:
        page.goto(f"{running.url}/assets/knowledge_snapshots?view=checks")
        page.get_by_text("words_hold_no_foreign_number").first.wait_for()
        page.get_by_text("Failed", exact=True).first.wait_for()
