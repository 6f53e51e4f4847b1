"""What Dagster does without a schedule: days that changed late are asked for again, and a run that failed is told to people."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import psycopg
import pytest
from sample_entries import append_all, decision, outcome

from precedent.clock import to_instant
from precedent.people.notify import message_of
from precedent.people.store import Claimed

FIRST = date(2026, 3, 1)
# The longest window of a feature, and the week that rows go on after it has emptied.
REACH = timedelta(days=90 + 7 - 1)


def as_of(day: date) -> str:
    return to_instant(int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()) * 1_000_000)


def tick(definitions: dg.Definitions, instance: dg.DagsterInstance, cursor: str | None) -> dg.SensorExecutionData:
    with dg.build_sensor_context(instance=instance, cursor=cursor, repository_def=definitions.get_repository_def()) as context:
        return definitions.resolve_sensor_def("new_outcomes").evaluate_tick(context)


def test_days_that_are_over_are_asked_for_again_when_an_outcome_changes_them(
    definitions: dg.Definitions, instance: dg.DagsterInstance, module_database_url: str
) -> None:
    made = decision(1, as_of=as_of(FIRST))
    append_all(module_database_url, [made])
    first = tick(definitions, instance, None)
    (asked,) = first.run_requests or ()
    assert asked.tags["dagster/asset_partition_range_start"] == FIRST.isoformat()
    assert asked.tags["dagster/asset_partition_range_end"] == (FIRST + REACH).isoformat()

    assert not tick(definitions, instance, first.cursor).run_requests, "nothing is new"
    append_all(module_database_url, [outcome(made.entry_id, 500_000, as_of=as_of(FIRST + timedelta(days=20)))])
    (again,) = tick(definitions, instance, first.cursor).run_requests or ()
    assert again.tags["dagster/asset_partition_range_start"] == (FIRST + timedelta(days=20)).isoformat()
    assert again.run_key != asked.run_key


def test_todays_outcomes_are_left_to_the_schedule(
    definitions: dg.Definitions, instance: dg.DagsterInstance, module_database_url: str
) -> None:
    before = tick(definitions, instance, None).cursor
    append_all(module_database_url, [decision(2)])
    after = tick(definitions, instance, before)
    assert (after.run_requests or [], after.skip_message) == ([], "no day that is over has changed")
    assert after.cursor != before


def test_nothing_is_asked_for_while_the_aggregator_is_under_way(
    definitions: dg.Definitions, instance: dg.DagsterInstance, module_database_url: str
) -> None:
    run = dg.DagsterRun("aggregator", run_id=str(uuid.uuid4()), status=dg.DagsterRunStatus.STARTED)
    instance.add_run(run)
    append_all(module_database_url, [decision(3, as_of=as_of(FIRST))])
    waiting = tick(definitions, instance, None)
    assert not waiting.run_requests
    assert "under way" in (waiting.skip_message or "")
    assert waiting.cursor is None, "what is new is still new at the next look"
    instance.report_run_failed(run)
    assert tick(definitions, instance, None).run_requests


def test_a_failed_run_is_told_with_the_check_that_was_not_held_and_without_the_errors_words(
    definitions: dg.Definitions, instance: dg.DagsterInstance, module_database_url: str
) -> None:
    with psycopg.connect(module_database_url) as connection:
        connection.execute("alter table ledger.section disable trigger all")
        connection.execute("update ledger.section set stored[1] = stored[1] || ' '::bytea where seq = 0 and not is_personal")
        connection.execute("alter table ledger.section enable always trigger refuse_change")
    job = definitions.resolve_job_def("aggregator")
    result = job.execute_in_process(instance=instance, partition_key=FIRST.isoformat(), raise_on_error=False)
    assert not result.success
    (failure,) = [event for event in result.all_events if event.event_type_value == "PIPELINE_FAILURE"]
    context = dg.build_run_status_sensor_context(
        "tell_failures", dagster_event=failure, dagster_instance=instance, dagster_run=result.dagster_run
    )
    definitions.resolve_sensor_def("tell_failures")(context.for_run_failure())
    ((topic, payload, entry_id),) = messages(module_database_url)
    assert (topic, entry_id) == ("pipeline.run_failed", None)
    text = message_of(Claimed(1, None, topic, payload, 1)).text
    assert text.startswith(f"whoever is on duty: the job aggregator failed for {FIRST}; not held: chain_is_unbroken")
    assert text.endswith(f"/runs/{result.run_id}")
    assert "seq" not in text


def messages(url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute("select topic, payload, entry_id from precedent.outbox where topic like 'pipeline.%'").fetchall()


def test_scorecards_describe_the_versions_that_have_outcomes(
    definitions: dg.Definitions, instance: dg.DagsterInstance, module_database_url: str
) -> None:
    result = definitions.resolve_job_def("scorecards").execute_in_process(instance=instance)
    (stated,) = result.asset_materializations_for_node("variant_scorecards")
    (row,) = stated.metadata["scorecards"].records  # type: ignore[attr-defined]
    assert (row.data["experiment"], row.data["outcomes"], row.data["reward"]) == ("finance/approve_discount", 1.0, 0.5)
    assert row.data["low"] < 0.5 < row.data["high"]
    assert row.data["is_best"] == pytest.approx(1.0), "there is no other"
    assert stated.metadata["ledger_size/main"].value >= 3
