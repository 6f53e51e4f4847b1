"""The job `aggregator` as Dagster runs it, over a real ledger: one day, a range in one run, and a ledger that was tampered with."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import psycopg
import pytest
from sample_entries import append_all, decision, event, outcome

from dagster_project.defs.ledger.store import read_heads
from precedent.clock import to_instant
from precedent.ledger.merkle import CompactRange
from precedent.lineage.trace import trace

FIRST = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAYS = 10


def as_of(day: int) -> str:
    return to_instant(int((FIRST + timedelta(days=day)).timestamp()) * 1_000_000)


def key_of(day: int) -> str:
    return (FIRST + timedelta(days=day)).date().isoformat()


@pytest.fixture(scope="module")
def ledger(module_database_url: str) -> str:
    """A decision a day, imported with its own time, each with an outcome three days later."""
    for day in range(DAYS):
        made = decision(1, as_of=as_of(day))
        append_all(module_database_url, [event(day, as_of=as_of(day)), made])
        append_all(module_database_url, [outcome(made.entry_id, 500_000, as_of=as_of(day + 3))])
    return module_database_url


def run(definitions: dg.Definitions, instance: dg.DagsterInstance, first: str, last: str) -> dg.ExecuteInProcessResult:
    """The job for one day, or for a range with the tags by which the webserver is asked for it."""
    job = definitions.resolve_job_def("aggregator")
    if first == last:
        return job.execute_in_process(instance=instance, partition_key=first, raise_on_error=False)
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    return job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)


def materializations(result: dg.ExecuteInProcessResult, name: str) -> list[dg.AssetMaterialization]:
    return [found for found in result.asset_materializations_for_node("dbt_models") if found.asset_key == dg.AssetKey(name)]


def root_of(url: str, size: int) -> str:
    """The tree over the first entries, leaf by leaf."""
    with psycopg.connect(url) as connection:
        leaves = [leaf for (leaf,) in connection.execute("select leaf from ledger.entry where seq < %s order by seq", (size,))]
    whole = CompactRange()
    for leaf in leaves:
        whole.append(leaf)
    return whole.root().hex()


def entries_of(url: str, asset: str) -> list[tuple[Any, ...]]:
    """(seq, partition, digest, root) of what is stated of an asset, as the entries themselves say."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            """
            select e.seq, convert_from(s.stored[1], 'UTF8')::jsonb as core
            from ledger.entry e join ledger.section s using (chain_id, seq) where get_byte(e.envelope, 1) = 10 order by e.seq
            """
        ).fetchall()
    return [(seq, core["partition"], core["digest"], core["ledger"]["root"]) for seq, core in rows if core["asset"] == asset]


def customers_rows(url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(
            "select as_of_date, features from analytics.entity_features where entity_type = 'customer' order by as_of_date"
        ).fetchall()


def test_one_day_is_computed_checked_and_stated(definitions: dg.Definitions, instance: dg.DagsterInstance, ledger: str) -> None:
    (head,) = read_heads(ledger)
    result = run(definitions, instance, key_of(4), key_of(4))
    assert result.success
    rows = customers_rows(ledger)
    assert [(day.isoformat(), features["discounts_30d"]) for day, features in rows] == [(key_of(4), 5)]
    assert rows[0][1]["win_rate_90d"] == 10_000

    (stated,) = materializations(result, "entity_features")
    assert head.size == 3 * DAYS
    assert stated.partition == key_of(4)
    assert stated.metadata["ledger_size/main"].value == head.size
    assert stated.metadata["ledger_leaf/main"].value == head.leaf_hex
    assert stated.metadata["ledger_root/main"].value == root_of(ledger, head.size)
    assert entries_of(ledger, "entity_features") == [
        (stated.metadata["entry"].value, key_of(4), stated.metadata["digest"].value, stated.metadata["ledger_root/main"].value)
    ]
    assert stated.metadata["rows_written"].value == 2, "one customer, one node"

    checks = {check.check_name: check.passed for check in result.get_asset_check_evaluations()}
    assert checks.pop("chain_is_unbroken")
    assert checks
    assert all(checks.values())


def test_a_range_is_one_run_with_a_materialisation_a_day(definitions: dg.Definitions, instance: dg.DagsterInstance, ledger: str) -> None:
    result = run(definitions, instance, key_of(0), key_of(DAYS - 1))
    assert result.success
    assert [day.isoformat() for day, _ in customers_rows(ledger)] == [key_of(day) for day in range(DAYS)]
    assert [features["discounts_30d"] for _, features in customers_rows(ledger)] == list(range(1, DAYS + 1))
    assert [one.partition for one in materializations(result, "entity_features")] == [key_of(day) for day in range(DAYS)]
    assert len(materializations(result, "stg_precedent__decisions")) == 1
    observed = {found.event_specific_data.asset_observation.asset_key.to_user_string() for found in observations(result)}
    assert observed == {"events", "decisions", "outcomes"}


def test_each_day_is_stated_once_and_leads_back_to_its_decisions(ledger: str) -> None:
    stated = entries_of(ledger, "entity_features")
    assert sorted(partition for _, partition, _, _ in stated) == [key_of(day) for day in range(DAYS)], "day 4 was the same again"
    told = trace(ledger, "main", "entity_features", (FIRST + timedelta(days=4)).date(), "customer")
    assert told.findings == ()
    assert [one.stated.asset for one in told.inputs] == ["int_entities_daily_activity"]
    counts = {one.name: (one.value, one.counted, len(one.decision_ids)) for one in told.features}
    assert counts["customer.discounts_30d"] == (5, 5, 5)
    assert counts["customer.win_rate_90d"] == (10_000, 10_000, 2)
    assert [one.seq for one in told.sources if one.kind == "decision"] == [1, 4, 7, 10, 13]
    daily = trace(ledger, "main", "decision_daily", (FIRST + timedelta(days=4)).date())
    assert (daily.findings, [(one.kind, one.seq) for one in daily.sources]) == ((), [("decision", 13), ("outcome", 14)])


def test_a_scorecard_is_of_the_panel_and_leads_back_to_the_outcomes(
    definitions: dg.Definitions, instance: dg.DagsterInstance, ledger: str
) -> None:
    def score() -> tuple[dict[str, Any], dict[str, Any]]:
        result = definitions.resolve_job_def("scorecards").execute_in_process(instance=instance)
        (stated,) = result.asset_materializations_for_node("variant_scorecards")
        (row,) = stated.metadata["scorecards"].records  # type: ignore[attr-defined]
        return row.data, {name: value.value for name, value in stated.metadata.items()}

    row, stated = score()
    assert (row["experiment"], row["matured"], row["outcomes"], row["reward"]) == ("finance/approve_discount", DAYS, DAYS, 0.5)
    assert row["low"] < 0.5 < row["high"]
    assert row["is_best"] == pytest.approx(1), "there is no other"
    with psycopg.connect(ledger) as connection:
        counters = connection.execute("select variant, alpha, beta from precedent.policy_variants_stats").fetchall()
    assert counters == [(row["variant"], 1 + DAYS / 2, 1 + DAYS / 2)], "the counters of the append, which saw the same outcomes"
    assert (stated["ledger_size/main"], stated["ledger_root/main"]) == (3 * DAYS, root_of(ledger, 3 * DAYS))

    told = trace(ledger, "main", "variant_scorecards", date.fromisoformat(stated["stated_as"]), "finance/approve_discount")
    assert (told.findings, told.statement.seq, told.statement.digest) == ((), stated["entry"], stated["digest"])
    assert [one.seq for one in told.sources if one.kind == "decision"] == [3 * day + 1 for day in range(DAYS)]
    assert [one.seq for one in told.sources if one.kind == "outcome"] == [3 * day + 2 for day in range(DAYS)]
    assert {one.name: (one.value, one.counted) for one in told.features} == {
        "matured_count": (DAYS, DAYS),
        "rewarded_count": (DAYS, DAYS),
        "reward_sum_ppm": (DAYS * 500_000, DAYS * 500_000),
    }

    # What came since is no part of it before dbt has cut the ledger again.
    append_all(ledger, [outcome(told.sources[0].decision_id, 1_000_000, as_of=as_of(DAYS + 3))])
    assert score()[0] == row
    assert trace(ledger, "main", "variant_scorecards", date.fromisoformat(stated["stated_as"])).findings == ()


def test_a_tampered_feature_is_named_and_counted_again(ledger: str) -> None:
    day = (FIRST + timedelta(days=4)).date()
    with psycopg.connect(ledger) as connection:
        statement = "update analytics.entity_features set features = jsonb_set(features, '{discounts_30d}', '0') where as_of_date = %s"
        connection.execute(statement + " and entity_type = 'customer'", (day,))
        (customer,) = connection.execute("select entity_id from analytics.entity_features where entity_type = 'customer'").fetchone() or (
            "",
        )
    told = trace(ledger, "main", "entity_features", day, f"customer/{customer}")
    assert told.findings == (
        f"entity_features of {day}: the row customer/{customer} is not as stated",
        f"customer/{customer}: customer.discounts_30d is 0, but the ledger's decisions come to 5",
    )


def observations(result: dg.ExecuteInProcessResult) -> list[Any]:
    return [found for found in result.all_events if found.event_type_value == "ASSET_OBSERVATION"]


def test_the_sensor_observes_heads_once_for_each_growth(definitions: dg.Definitions, instance: dg.DagsterInstance, ledger: str) -> None:
    sensor = definitions.resolve_sensor_def("ledger_heads")
    with dg.build_sensor_context(instance=instance) as context:
        first = sensor.evaluate_tick(context)
    assert {found.asset_key.to_user_string() for found in first.asset_events} == {"events", "decisions", "outcomes"}
    with dg.build_sensor_context(instance=instance, cursor=first.cursor) as context:
        assert not sensor.evaluate_tick(context).asset_events


def test_nothing_is_derived_from_a_ledger_that_was_tampered_with(
    definitions: dg.Definitions, instance: dg.DagsterInstance, ledger: str
) -> None:
    before = customers_rows(ledger)
    with psycopg.connect(ledger) as connection:
        connection.execute("alter table ledger.section disable trigger all")
        connection.execute("update ledger.section set stored[1] = stored[1] || ' '::bytea where seq = 4 and not is_personal")
        connection.execute("alter table ledger.section enable always trigger refuse_change")
    result = run(definitions, instance, key_of(2), key_of(2))
    assert not result.success
    (check,) = [found for found in result.get_asset_check_evaluations() if found.check_name == "chain_is_unbroken"]
    assert not check.passed
    assert "seq 4" in str(check.metadata["findings"].value)
    assert not result.asset_materializations_for_node("dbt_models")
    assert customers_rows(ledger) == before
