"""The dbt models on a real database: what a day's features may know, and what a run may change.

One database serves the module, since dbt takes seconds a call: its tests read what the runs below left behind.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from planting import Planter
from psycopg.types.json import Jsonb
from running_dbt import PROJECT, run_dbt

from precedent.db.engine import API, PIPELINE, connect

Rows = list[tuple[Any, ...]]

FEATURES = "select entity_type, entity_id, as_of_date, known_at, features from analytics.entity_features order by 1, 2, 3"
DAILY = "select * from analytics.decision_daily order by day, node, action, policy_version"
PANEL = "select * from analytics.variant_panel order by decision_seq"
COLUMNS = "select attname from pg_attribute where attrelid = 'analytics.variant_panel'::regclass and attnum > 0 order by attnum"
WEIGHED = "select decision_seq, probabilities, chosen_probability, outcome_revision, reward from analytics.variant_panel order by 1"


@dataclass(frozen=True, slots=True)
class Story:
    """What stood after each run."""

    url: str
    target: Path
    first_features: Rows
    first_daily: Rows
    first_panel: Rows
    later_features: Rows
    later_daily: Rows
    later_panel: Rows
    single_features: Rows
    single_daily: Rows
    single_panel: Rows
    rebuilt_features: Rows
    rebuilt_daily: Rows
    rebuilt_panel: Rows


def rows_of(url: str, query: str) -> Rows:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


@pytest.fixture(scope="module")
def story(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Story:
    url, target = module_database_url, tmp_path_factory.mktemp("dbt")

    def build(prefix: dict[str, int], first: str, after_last: str, *arguments: str) -> tuple[Rows, Rows, Rows]:
        variables = json.dumps({"ledger_prefix": prefix, "from_day": first, "to_day": after_last})
        run_dbt(url, target, "build", "--vars", variables, *arguments)
        return rows_of(url, FEATURES), rows_of(url, DAILY), rows_of(url, PANEL)

    def commit(*arguments: str) -> tuple[Rows, Rows, Rows]:
        connection.commit()
        return build(planter.prefix, *arguments)

    with psycopg.connect(url) as connection:
        planter = Planter(connection)
        won_then_lost = planter.decision("2026-03-01T10:00", customer="c1", probabilities={"A": 700_000, "B": 300_000})
        late = planter.decision("2026-03-05T23:59:59.999999", customer="c1", verdict="escalate", level=0, latency_ms=3.0)
        planter.decision("2026-03-05T12:00", customer="c2")
        planter.decision("2026-03-05T12:00", customer="c2", action="approve_refund")
        planter.outcome(won_then_lost, "2026-03-10T12:00", won=True)
        # All unit tests run here, before the models hold anything.
        first = commit("2026-03-01", "2026-03-16")

        planter.outcome(won_then_lost, "2026-03-20T12:00", won=False)
        planter.decision("2026-03-20T00:00", customer="c1", happened="2026-03-02T00:00")
        planter.outcome(late, "2026-03-25T12:00", won=False)
        cut = planter.prefix
        planter.decision("2026-03-17T00:00", customer="beyond the cut")
        planter.outcome(won_then_lost, "2026-03-18T00:00", won=True)
        connection.commit()
        plain = ("--exclude-resource-type", "unit_test")
        later = build(cut, "2026-03-16", "2026-07-01", *plain)
        for day, after in (("2026-03-05", "2026-03-06"), ("2026-03-20", "2026-03-21")):
            single = build(cut, day, after, *plain)
        rebuilt = build(cut, "2026-03-01", "2026-07-01", "--full-refresh", *plain)
    return Story(url, target, *first, *later, *single, *rebuilt)


def features_on(rows: Rows, entity: str, day: str) -> dict[str, int]:
    found = [row[4] for row in rows if row[1] == entity and row[2] == date.fromisoformat(day)]
    assert len(found) == 1, f"{len(found)} rows of {entity} on {day}"
    return dict(found[0])


def test_a_window_begins_with_the_known_day_and_ends_after_its_length(story: Story) -> None:
    assert features_on(story.later_features, "c1", "2026-03-04")["discounts_30d"] == 1
    assert features_on(story.later_features, "c1", "2026-03-05")["discounts_30d"] == 2, "23:59:59.999999 is of the same day"
    assert features_on(story.later_features, "c1", "2026-03-30")["discounts_30d"] == 3
    assert features_on(story.later_features, "c1", "2026-03-31")["discounts_30d"] == 2, "1 March is 30 days gone"
    assert features_on(story.later_features, "c1", "2026-04-19")["discounts_30d"] == 0


def test_only_the_actions_that_a_feature_names_are_counted(story: Story) -> None:
    assert features_on(story.first_features, "c2", "2026-03-05") == {"discounts_30d": 1, "refunds_90d": 1}


def test_a_share_without_outcomes_is_absent_and_never_zero(story: Story) -> None:
    assert "win_rate_90d" not in features_on(story.first_features, "c1", "2026-03-09")
    assert features_on(story.first_features, "c1", "2026-03-10")["win_rate_90d"] == 10_000


def test_a_late_decision_counts_from_the_day_it_was_known_not_from_when_it_happened(story: Story) -> None:
    assert features_on(story.later_features, "c1", "2026-03-19")["discounts_30d"] == 2
    assert features_on(story.later_features, "c1", "2026-03-20")["discounts_30d"] == 3


def test_a_corrected_outcome_changes_later_days_and_no_earlier_one(story: Story) -> None:
    assert features_on(story.later_features, "c1", "2026-03-19")["win_rate_90d"] == 10_000
    assert features_on(story.later_features, "c1", "2026-03-20")["win_rate_90d"] == 0


def test_what_came_later_leaves_earlier_rows_as_they_were(story: Story) -> None:
    assert story.first_features
    assert [row for row in story.later_features if row[2] < date(2026, 3, 16)] == story.first_features


def test_days_computed_again_one_by_one_give_the_same_rows_as_their_range(story: Story) -> None:
    assert story.single_features == story.later_features
    assert story.single_daily == story.later_daily
    assert story.single_panel == story.later_panel


def test_a_rebuild_in_one_range_gives_the_same_rows_as_the_increments(story: Story) -> None:
    assert story.rebuilt_features == story.later_features
    assert story.rebuilt_daily == story.later_daily
    assert story.rebuilt_panel == story.later_panel


def test_rows_beyond_the_cut_are_not_seen(story: Story) -> None:
    assert not [row for row in story.rebuilt_features if row[1] == "beyond the cut"]
    assert features_on(story.rebuilt_features, "c1", "2026-03-20")["win_rate_90d"] == 0
    assert rows_of(story.url, "select count(*) from precedent.decisions where entities ->> 'customer' = 'beyond the cut'") == [(1,)]


def test_every_node_has_rows_of_its_own(story: Story) -> None:
    assert features_on(story.first_features, "finance", "2026-03-05") == {
        "decisions_30d": 4,
        "approved_30d": 3,
        "escalated_30d": 1,
        "matured_30d": 0,
    }
    assert features_on(story.later_features, "finance", "2026-03-20")["reward_90d"] == 0


def test_a_decisions_day_follows_its_late_and_corrected_outcome(story: Story) -> None:
    columns = "decisions_count, matured_count, pending_count, reward_sum"
    assert rows_of(story.url, f"select {columns} from analytics.decision_daily where day = '2026-03-01'") == [(1, 1, 0, 0)]
    first = [row for row in story.first_daily if row[1] == date(2026, 3, 1)]
    assert first != [row for row in story.later_daily if row[1] == date(2026, 3, 1)], "the correction came with a later range"


def test_the_panel_holds_what_is_matured_with_its_weight_and_follows_late_and_corrected_outcomes(story: Story) -> None:
    drawn = {"A": 700_000, "B": 300_000}
    columns = [name for (name,) in rows_of(story.url, COLUMNS)]
    seq, reward = columns.index("decision_seq"), columns.index("reward")
    assert [(row[seq], row[reward]) for row in story.first_panel] == [(0, 1)], "of what is open nothing is said"
    # What was planted beyond the cut would win again.
    assert rows_of(story.url, WEIGHED) == [(0, drawn, Decimal("0.7"), 2, 0), (1, None, 1, 1, 0)]
    before, after = dict(zip(columns, story.first_panel[0], strict=True)), dict(zip(columns, story.rebuilt_panel[0], strict=True))
    assert {name for name in columns if before[name] != after[name]} == {"outcome_revision", "outcome_known_at", "reward", "changed_seq"}


def test_a_vector_that_lacks_the_chosen_one_or_does_not_add_up_fails_its_test(story: Story) -> None:
    changed = "update precedent.decisions set probabilities = %s where seq = 0"
    check = ("test", "--select", "probabilities_hold_the_chosen_variant_panel_")
    with psycopg.connect(story.url) as connection:
        ((held,),) = connection.execute("select probabilities from precedent.decisions where seq = 0").fetchall()
        for wrong in ({"B": 1_000_000}, {"A": 700_000, "B": 299_999}, {"A": 0, "B": 1_000_000}):
            connection.execute(changed, (Jsonb(wrong),))
            connection.commit()
            with pytest.raises(AssertionError, match="probabilities_hold_the_chosen"):
                run_dbt(story.url, story.target, *check)
        connection.execute(changed, (Jsonb(held),))
        connection.commit()
    run_dbt(story.url, story.target, *check)


def test_no_row_claims_to_have_been_known_before_its_day_was_over(story: Story) -> None:
    assert all(known_at.date() > as_of for _, _, as_of, known_at, _ in story.rebuilt_features)


def test_rows_go_on_until_a_window_has_emptied_and_a_week_more(story: Story) -> None:
    last = max(row[2] for row in story.rebuilt_features if row[1] == "c2")
    assert last == date(2026, 3, 5) + timedelta(days=90 + 7 - 1)
    assert features_on(story.rebuilt_features, "c2", last.isoformat()) == {"discounts_30d": 0, "refunds_90d": 0}


def test_the_api_reads_features_by_the_index_and_the_pipeline_may_not_write_the_record(story: Story) -> None:
    with connect(story.url, API) as connection:
        # The planted rows fit one page: reading or sorting them all can be cheaper than the index, as the last analyze has it.
        for other_way in ("seqscan", "bitmapscan", "sort"):
            connection.execute(f"set local enable_{other_way} = off")
        plan = connection.execute(
            "explain select features from analytics.entity_features where chain_id = '00000000-0000-0000-0000-000000000001'"
            " and entity_type = 'customer' and entity_id = 'c1' and known_at <= '2026-03-20' order by known_at desc limit 1"
        ).fetchall()
    assert "Index Scan Backward" in str(plan)
    assert "Sort" not in str(plan)
    with connect(story.url, PIPELINE) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("delete from precedent.decisions")


def test_the_docs_describe_every_model_and_every_column(story: Story) -> None:
    run_dbt(story.url, story.target, "docs", "generate")
    manifest = json.loads((story.target / "manifest.json").read_text())
    catalog = json.loads((story.target / "catalog.json").read_text())
    models = {name: node for name, node in manifest["nodes"].items() if node["resource_type"] == "model"}
    assert len(models) == 15
    for name, node in models.items():
        assert "Grain: one row per" in node["description"], name
        assert set(node["columns"]) == set(catalog["nodes"][name]["columns"]), name
        assert all(column["description"] for column in node["columns"].values()), name
        assert node["config"]["contract"]["enforced"] == ("marts" in node["fqn"]), name
    overview = manifest["docs"]["doc.precedent.__overview__"]["block_contents"]
    assert "Add a feature" in overview
    used = {source for exposure in manifest["exposures"].values() for source in exposure["depends_on"]["nodes"]}
    assert {"model.precedent.entity_features", "model.precedent.variant_panel"} <= used


def test_every_model_that_calculates_has_a_unit_test(story: Story) -> None:
    manifest = json.loads((story.target / "manifest.json").read_text())
    tested = {unit["model"] for unit in manifest["unit_tests"].values()}
    tables = {"int_decisions_joined_to_outcomes", "int_entities_daily_activity", "entity_features", "decision_daily"}
    assert tested == tables | {"fct_decisions", "fct_outcomes", "autonomy_daily", "review_load", "variant_panel"}


def test_the_dbt_folder_is_no_python_package() -> None:
    assert not (PROJECT / "__init__.py").exists(), "it would hide the installed dbt"
