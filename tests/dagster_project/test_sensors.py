"""What Dagster does without a schedule: days that changed late are asked for again, and a run that failed is told to people."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import orjson
import psycopg
import pytest
from sample_entries import append_all, decision, outcome

from precedent.adapters.webhook import rules_of
from precedent.clock import SystemClock, to_instant
from precedent.ledger.store import chain_id_of
from precedent.people.notify import message_of
from precedent.people.store import Claimed
from precedent.people.webhooks import add_endpoint, webhook_of

FIRST = date(2026, 3, 1)
# The longest window of a feature, and the week that rows go on after it has emptied.
REACH = timedelta(days=90 + 7 - 1)
WEEK = timedelta(days=7)


def as_of(day: date) -> str:
    return to_instant(int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()) * 1_000_000)


def days_of(request: dg.RunRequest) -> tuple[str | None, date, date]:
    """The job, and the first and the last day of its range."""
    first, last = (request.tags[f"dagster/asset_partition_range_{end}"] for end in ("start", "end"))
    return request.job_name, date.fromisoformat(first), date.fromisoformat(last)


def tick(definitions: dg.Definitions, instance: dg.DagsterInstance, cursor: str | None) -> dg.SensorExecutionData:
    with dg.build_sensor_context(instance=instance, cursor=cursor, repository_def=definitions.get_repository_def()) as context:
        return definitions.resolve_sensor_def("new_outcomes").evaluate_tick(context)


def test_days_that_are_over_are_asked_for_again_when_an_outcome_changes_them(
    definitions: dg.Definitions, instance: dg.DagsterInstance, module_database_url: str
) -> None:
    made = decision(1, as_of=as_of(FIRST))
    append_all(module_database_url, [made])
    first = tick(definitions, instance, None)
    features, memory = first.run_requests or ()
    assert days_of(features) == ("aggregator", FIRST, FIRST + REACH)
    assert days_of(memory) == ("distill", FIRST, FIRST + WEEK), "a snapshot is compared with the same weekday before"
    assert features.run_key != memory.run_key, "else the second would be taken for the first"

    assert not tick(definitions, instance, first.cursor).run_requests, "nothing is new"
    append_all(module_database_url, [outcome(made.entry_id, 500_000, as_of=as_of(FIRST + timedelta(days=20)))])
    again = tick(definitions, instance, first.cursor).run_requests or ()
    matured = FIRST + timedelta(days=20)
    assert [days_of(one) for one in again] == [("aggregator", matured, matured + REACH), ("distill", matured, matured + WEEK)]
    assert not {one.run_key for one in again} & {features.run_key, memory.run_key}


def test_what_became_known_yesterday_is_one_day_for_both(
    definitions: dg.Definitions, instance: dg.DagsterInstance, module_database_url: str
) -> None:
    before = tick(definitions, instance, None).cursor
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    append_all(module_database_url, [decision(4, as_of=as_of(yesterday))])
    asked = tick(definitions, instance, before).run_requests or ()
    assert [(one.job_name, one.partition_key) for one in asked] == [
        ("aggregator", yesterday.isoformat()),
        ("distill", yesterday.isoformat()),
    ]


def test_todays_outcomes_are_left_to_the_schedule(
    definitions: dg.Definitions, instance: dg.DagsterInstance, module_database_url: str
) -> None:
    before = tick(definitions, instance, None).cursor
    append_all(module_database_url, [decision(2)])
    after = tick(definitions, instance, before)
    assert (after.run_requests or [], after.skip_message) == ([], "no day that is over has changed")
    assert after.cursor != before


@pytest.mark.parametrize("job", ["aggregator", "distill"])
def test_nothing_is_asked_for_while_one_of_its_jobs_is_under_way(
    definitions: dg.Definitions, instance: dg.DagsterInstance, module_database_url: str, job: str
) -> None:
    run = dg.DagsterRun(job, run_id=str(uuid.uuid4()), status=dg.DagsterRunStatus.STARTED)
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
    with psycopg.connect(module_database_url) as owner:
        chain_id = chain_id_of(owner, "main")
        for name, wanted in (("watch", "job.failed"), ("crm", "decision.recorded")):
            add_endpoint(owner, chain_id, name, "https://example.org/hooks", [wanted], rules_of("", is_https_required=True), SystemClock())
    for _ in range(2):  # the sensor may be killed before it notes how far it came
        definitions.resolve_sensor_def("tell_failures")(context.for_run_failure())
    ((topic, payload, entry_id),) = messages(module_database_url)
    assert (topic, entry_id) == ("pipeline.run_failed", None)
    text = message_of(Claimed(1, None, topic, payload, 1)).text
    assert text.startswith(f"whoever is on duty: the job aggregator failed for {FIRST}; not held: chain_is_unbroken")
    assert text.endswith(f"/runs/{result.run_id}")
    assert "seq" not in text
    ((endpoint, payload),) = webhooks_of(module_database_url)
    assert endpoint == "watch"
    body = orjson.loads(webhook_of(Claimed(1, None, "job.failed", payload, 1)).body)
    assert (body["type"], body["data"]["run_id"], body["data"]["job"]) == ("job.failed", result.run_id, "aggregator")
    assert (body["data"]["days"], body["data"]["checks"]) == ([FIRST.isoformat()], ["chain_is_unbroken"])
    assert set(body["data"]) == {"run_id", "job", "days", "checks", "steps", "page"}


def webhooks_of(url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(
            "select w.name, o.payload from precedent.outbox o join precedent.webhook_endpoints w on w.id = o.endpoint_id "
            "where o.topic = 'job.failed'"
        ).fetchall()


def messages(url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute("select topic, payload, entry_id from precedent.outbox where topic like 'pipeline.%'").fetchall()


def test_before_the_panel_is_built_there_are_no_scorecards_and_the_run_says_why(
    definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    result = definitions.resolve_job_def("scorecards").execute_in_process(instance=instance)
    (stated,) = result.asset_materializations_for_node("variant_scorecards")
    assert (stated.metadata["rows"].value, stated.metadata["panel"].value) == (0, "not built: run the job aggregator")
