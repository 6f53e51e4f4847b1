"""The pipeline as it runs by itself: missed schedules, a day that changed late, a backfill from the page, a worker that is killed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import psycopg
import pytest
from browser import open_page
from dagster._core.scheduler.instigation import InstigatorType, ScheduleInstigatorData
from running_api import free_ports, install, wait_until
from running_pipeline import RunningPipeline, run_pipeline
from sample_entries import append_all, decision, outcome

from precedent.clock import to_instant

pytestmark = pytest.mark.long

SCHEDULED = {"aggregator_daily": "aggregator", "distill_daily": "distill", "scorecards_daily": "scorecards"}
BACKFILLS = "{ partitionBackfillsOrError { ... on PartitionBackfills { results { id status numPartitions } } } }"


def days_ago(days: int) -> datetime:
    return datetime.now(UTC).replace(hour=12) - timedelta(days=days)


def record(url: str, days: int) -> None:
    """A decision and its outcome, both known so many days ago."""
    at = to_instant(int(days_ago(days).timestamp()) * 1_000_000)
    made = decision(1, as_of=at)
    append_all(url, [made, outcome(made.entry_id, 500_000, as_of=at)])


@pytest.fixture(scope="module")
def pipeline(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPipeline]:
    home = tmp_path_factory.mktemp("pipeline")
    (port,) = free_ports(1)
    installation = install(module_database_url, home, dagster_port=port, dagster_url=f"http://127.0.0.1:{port}")
    with run_pipeline(installation, with_daemon=True) as running:
        yield running


@pytest.fixture
def instance(pipeline: RunningPipeline, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """The same instance that the daemon has."""
    monkeypatch.setenv("PRECEDENT_DAGSTER_STORAGE_URL", pipeline.environment["PRECEDENT_DAGSTER_STORAGE_URL"])
    with dg.DagsterInstance.from_config(str(pipeline.home)) as found:
        yield found


def test_days_that_changed_are_computed_without_being_asked(pipeline: RunningPipeline, module_database_url: str) -> None:
    record(module_database_url, 3)
    runs = pipeline.ended(2, tags=[{"key": "dagster/sensor_name", "value": "new_outcomes"}])
    assert sorted((run["jobName"], run["status"]) for run in runs) == [("aggregator", "SUCCESS"), ("distill", "SUCCESS")]
    assert {run["tags"]["dagster/asset_partition_range_start"] for run in runs} == {days_ago(3).date().isoformat()}
    with psycopg.connect(module_database_url) as connection:
        days = [day for (day,) in connection.execute("select distinct as_of_date from analytics.entity_features order by 1")]
        snapshots = connection.execute("select period_start::date from precedent.knowledge_snapshots order by 1").fetchall()
    assert (days[0], snapshots) == (days_ago(3).date(), [(days_ago(3).date(),)])


def test_what_was_missed_at_six_is_caught_up_with(pipeline: RunningPipeline, instance: dg.DagsterInstance) -> None:
    """The daemon is killed, and its schedules' clocks are put back by a day: as on a machine that was off over night."""

    def states() -> list[Any]:
        found = instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE)
        return [state for state in found if state.name in SCHEDULED]

    wait_until(lambda: len(states()) == len(SCHEDULED), 120, "the daemon to know its schedules")
    pipeline.stop("dagster-daemon", signal.SIGKILL)
    for state in states():
        back = (datetime.now(UTC) - timedelta(days=1)).timestamp()
        instance.update_instigator_state(state.with_data(ScheduleInstigatorData(state.instigator_data.cron_schedule, back, back)))
    pipeline.start(pipeline.daemon)
    for schedule, job in SCHEDULED.items():
        (run,) = pipeline.ended(1, tags=[{"key": "dagster/schedule_name", "value": schedule}])
        assert (run["jobName"], run["status"]) == (job, "SUCCESS")


def test_a_backfill_from_the_page_is_one_run_and_succeeds(pipeline: RunningPipeline, module_database_url: str) -> None:
    record(module_database_url, 2)
    first, last = days_ago(3).date().isoformat(), days_ago(1).date().isoformat()
    with open_page() as page:
        page.goto(f"{pipeline.url}/locations/precedent/jobs/distill")
        page.get_by_role("button", name="Materialize all").click()
        dialog = page.get_by_role("dialog").filter(has_text="Partition selection")
        days = dialog.locator("input[type=text]").first
        days.fill(f"[{first}...{last}]")
        days.press("Enter")
        dialog.get_by_text("3 partitions", exact=True).wait_for()
        page.get_by_role("button", name="Launch backfill").click()
        dialog.wait_for(state="hidden")

    def backfills() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = pipeline.ask(BACKFILLS)["partitionBackfillsOrError"]["results"]
        return found

    wait_until(lambda: [one["status"] for one in backfills()] == ["COMPLETED_SUCCESS"], 300, "the backfill to succeed")
    (run,) = pipeline.ended(1, tags=[{"key": "dagster/backfill", "value": backfills()[0]["id"]}])
    assert run["tags"]["dagster/asset_partition_range_start"] == first
    assert run["tags"]["dagster/asset_partition_range_end"] == last


def test_a_killed_run_fails_is_told_to_people_and_leaves_nothing_half_done(pipeline: RunningPipeline, module_database_url: str) -> None:
    day = days_ago(2).date().isoformat()

    def rows() -> list[tuple[Any, ...]]:
        with psycopg.connect(module_database_url) as connection:
            return connection.execute("select * from analytics.entity_features where as_of_date = %s order by 1, 2, 3", (day,)).fetchall()

    def aggregate() -> str:
        (run,) = pipeline.ended(1, runIds=[pipeline.launch("aggregator", day)])
        return str(run["status"])

    assert aggregate() == "SUCCESS"
    whole = rows()
    killed = pipeline.launch("aggregator", day)
    wait_until(lambda: kill_run(pipeline), 180, "dbt to work")
    assert rows() == whole
    assert pipeline.ended(1, runIds=[killed])[0]["status"] == "FAILURE"
    wait_until(lambda: killed in told(module_database_url), 180, "people to be told")
    assert aggregate() == "SUCCESS"
    assert rows() == whole


def kill_run(pipeline: RunningPipeline) -> bool:
    """Whether a dbt process was at work under one of our own processes; then it was killed, and the run's process before it."""
    for one in pipeline.processes.values():
        for child in psutil.Process(one.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if any(Path(word).name == "dbt" for word in child.cmdline()[:2]):
                    for process in (child.parent(), child):
                        if process:
                            process.kill()
                    return True
    return False


def told(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        return {
            run for (run,) in connection.execute("select payload ->> 'run_id' from precedent.outbox where topic = 'pipeline.run_failed'")
        }
