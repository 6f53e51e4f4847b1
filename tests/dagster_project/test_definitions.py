"""What Dagster is told: assets, their order, days, checks, the schedule; and that being told needs no database."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.definitions.freshness import TimeWindowFreshnessPolicy

from precedent.settings import load_settings, project_root

LEDGER = {"events", "decisions", "outcomes", "reviews", "policy_versions", "ledger_heads"}
MARTS = {"entity_features", "decision_daily"}
MEMORY = {"knowledge_snapshots", "decision_embeddings", "snapshot_embeddings"}


def test_every_asset_stands_in_a_group_and_comes_from_the_ledger(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    groups = {key.to_user_string(): graph.get(key).group_name for key in graph.get_all_asset_keys()}
    assert {name for name, group in groups.items() if group == "ledger"} == LEDGER
    assert {name for name, group in groups.items() if group == "memory"} == MEMORY | {"recall_probe"}
    assert set(groups.values()) == {"ledger", "warehouse", "memory", "learning"}
    for name in LEDGER:
        assert not graph.get(dg.AssetKey(name)).is_executable, f"{name} is written by the append function, not by a run"
    decided_from = {key.to_user_string() for key in graph.get(dg.AssetKey("stg_precedent__decisions")).parent_keys}
    assert decided_from == {"decisions"}
    assert {key.to_user_string() for key in graph.get(dg.AssetKey("variant_scorecards")).parent_keys} == {"variant_panel"}


def test_only_marts_and_memory_have_days(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    with_days = {key.to_user_string() for key in graph.get_all_asset_keys() if graph.get(key).partitions_def}
    assert with_days == MARTS | MEMORY
    for name in MARTS | {"knowledge_snapshots", "decision_embeddings"}:
        days = graph.get(dg.AssetKey(name)).partitions_def
        assert isinstance(days, dg.DailyPartitionsDefinition)
        assert days.timezone == "UTC"
        assert days.has_partition_key("2011-09-30"), "the first day, in UTC, of the oldest log that ships"


def test_everything_that_a_schedule_makes_is_late_after_a_day_and_a_bit(definitions: dg.Definitions) -> None:
    made: set[str] = set()
    for schedule in definitions.get_repository_def().schedule_defs:
        job = definitions.resolve_job_def(schedule.job_name)
        for key in job.asset_layer.executable_asset_keys:
            policy, name = job.asset_layer.get(key).freshness_policy, key.to_user_string()
            assert isinstance(policy, TimeWindowFreshnessPolicy), name
            windows = [window.to_timedelta() for window in (policy.warn_window, policy.fail_window) if window]
            assert windows == [timedelta(hours=26), timedelta(hours=30)], name
            made.add(name)
    graph = definitions.resolve_asset_graph()
    assert made == {key.to_user_string() for key in graph.get_all_asset_keys() if graph.get(key).is_executable}
    assert made >= MARTS | MEMORY | {"recall_probe", "variant_scorecards", "variant_panel"}


def test_dbt_tests_are_checks_and_the_chains_check_blocks(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    checks = {key.name: key for key in graph.asset_check_keys}
    assert checks["chain_is_unbroken"].asset_key == dg.AssetKey("decisions")
    assert graph.get(checks["chain_is_unbroken"]).blocking
    assert {key.asset_key.to_user_string() for key in checks.values()} >= MARTS


def test_the_aggregator_is_scheduled_at_six_in_the_settings_zone(definitions: dg.Definitions) -> None:
    schedule = definitions.resolve_schedule_def("aggregator_daily")
    assert schedule.cron_schedule == "0 6 * * *"
    assert schedule.execution_timezone == "Europe/Amsterdam"
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
    assert schedule.job_name == "aggregator"


def test_distill_is_scheduled_ten_minutes_later_and_its_words_block(definitions: dg.Definitions) -> None:
    schedule = definitions.resolve_schedule_def("distill_daily")
    assert (schedule.cron_schedule, schedule.execution_timezone, schedule.job_name) == ("10 6 * * *", "Europe/Amsterdam", "distill")
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
    graph = definitions.resolve_asset_graph()
    checks = {key.name: key for key in graph.asset_check_keys}
    assert graph.get(checks["words_hold_no_foreign_number"]).blocking
    assert graph.get(checks["recall_is_high_enough"]).blocking
    assert checks["every_precedent_is_placed"].asset_key == dg.AssetKey("decision_embeddings")


def test_scorecards_are_scheduled_ten_minutes_after_that(definitions: dg.Definitions) -> None:
    schedule = definitions.resolve_schedule_def("scorecards_daily")
    assert (schedule.cron_schedule, schedule.execution_timezone, schedule.job_name) == ("20 6 * * *", "Europe/Amsterdam", "scorecards")
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING


def test_sensors_run_without_being_switched_on(definitions: dg.Definitions) -> None:
    for name in ("ledger_heads", "new_outcomes", "tell_failures"):
        assert definitions.resolve_sensor_def(name).default_status == dg.DefaultSensorStatus.RUNNING


def test_what_derives_is_tried_again_and_stands_in_one_pool(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for name in MARTS | MEMORY | {"recall_probe", "variant_scorecards"}:
        step = graph.get(dg.AssetKey(name)).assets_def.op
        assert (step.pool, step.retry_policy.max_retries if step.retry_policy else 0) == ("deriving", 2), name


@pytest.mark.parametrize(
    ("words", "is_away"),
    [
        ("Database Error\n  server closed the connection unexpectedly", True),
        ('connection to server at "h", port 1 failed: Connection refused', True),
        ("FATAL:  the database system is starting up", True),
        ("Failure in test unique_together_entity_features (models/marts/entity_features.yml)", False),
        ('Database Error\n  column "discounts" does not exist', False),
    ],
)
def test_only_a_server_that_was_away_is_asked_again(words: str, is_away: bool) -> None:
    from dagster_dbt.errors import DagsterDbtCliRuntimeError

    from dagster_project.defs.runs import again_if_away

    with pytest.raises(dg.Failure) as caught, again_if_away():
        raise DagsterDbtCliRuntimeError(words)
    assert caught.value.allow_retries is is_away


@pytest.mark.parametrize("schedule", ["aggregator_daily", "distill_daily"])
@pytest.mark.parametrize(("now", "day"), [("2026-03-02T05:00", "2026-03-01"), ("2026-03-01T05:00", "2026-02-28")])
def test_the_schedule_computes_the_day_that_ended_last(definitions: dg.Definitions, now: str, day: str, schedule: str) -> None:
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    repository = definitions.get_repository_def()
    with dg.build_schedule_context(scheduled_execution_time=at, repository_def=repository) as context:
        request = definitions.resolve_schedule_def(schedule).evaluate_tick(context).run_requests[0]
    assert request.partition_key == day


def test_steps_run_in_one_process(definitions: dg.Definitions) -> None:
    assert definitions.resolve_job_def("aggregator").executor_def.name == "in_process"


def test_loading_needs_no_database_and_parses_the_models_only_when_they_changed(
    definitions: dg.Definitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = load_settings().home_dir / "dbt" / "target"
    manifest, stamp = target / "manifest.json", target / "manifest.sha256"
    written = manifest.stat().st_mtime_ns
    monkeypatch.setenv("PRECEDENT_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    subprocess.run([sys.executable, "-c", "import dagster_project.definitions"], check=True, cwd=project_root(), timeout=300)
    assert manifest.stat().st_mtime_ns == written

    digest = stamp.read_text()
    stamp.write_text("of other sources")
    from dagster_project.defs.warehouse.manifest import prepare_project

    prepare_project(load_settings())
    assert manifest.stat().st_mtime_ns > written
    assert stamp.read_text() == digest
    assert not [path for path in target.iterdir() if path.is_dir()], "nothing is left of the parsing"


def test_keys_are_asked_for_each_morning_and_rotated_where_they_are(definitions: dg.Definitions, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = definitions.resolve_schedule_def("rotate_epoch_monthly")
    assert (schedule.cron_schedule, schedule.job_name) == ("30 6 * * *", "rotate_epoch")
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
    monkeypatch.setenv("PRECEDENT_KEYS_DIR", str(load_settings().home_dir / "nowhere"))
    at = datetime(2026, 12, 1, 6, 30, tzinfo=UTC)
    with dg.build_schedule_context(scheduled_execution_time=at, repository_def=definitions.get_repository_def()) as context:
        tick = schedule.evaluate_tick(context)
    assert not tick.run_requests
    assert "run `precedent ledger rotate-epoch` where they are" in (tick.skip_message or "")
