"""The job `distill` as Dagster runs it, over a real ledger: a range in one run, a repeat, and what its checks say."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from sample_entries import append_all, decision, outcome

from precedent.clock import to_instant
from precedent.lineage.trace import trace
from precedent.memory.words import TEMPLATE

FIRST = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAYS = 4


def as_of(day: int) -> str:
    return to_instant(int((FIRST + timedelta(days=day)).timestamp()) * 1_000_000)


def key_of(day: int) -> str:
    return (FIRST + timedelta(days=day)).date().isoformat()


@pytest.fixture(scope="module")
def ledger(module_database_url: str) -> str:
    """A decision a day, imported with its own time, each with an outcome the day after."""
    for day in range(DAYS):
        made = decision(1, as_of=as_of(day))
        append_all(module_database_url, [made])
        append_all(module_database_url, [outcome(made.entry_id, 500_000, as_of=as_of(day + 1))])
    return module_database_url


def run(definitions: dg.Definitions, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    tags = {"dagster/asset_partition_range_start": key_of(0), "dagster/asset_partition_range_end": key_of(DAYS)}
    return definitions.resolve_job_def("distill").execute_in_process(instance=instance, tags=tags, raise_on_error=False)


def stated(result: dg.ExecuteInProcessResult, name: str, day: int = 0) -> dict[str, object]:
    found = result.asset_materializations_for_node(name)
    assert [one.partition for one in found] == [key_of(day) for day in range(DAYS + 1)]
    return {key: value.value for key, value in found[day].metadata.items()}


def counts(url: str) -> tuple[int, ...]:
    with psycopg.connect(url) as connection:
        tables = ("knowledge_snapshots", "decision_embeddings_384", "snapshot_embeddings_1536")
        return tuple(connection.execute(f"select count(*) from precedent.{name}".encode()).fetchone()[0] for name in tables)  # type: ignore[index]


def test_a_range_is_distilled_in_one_run_and_a_repeat_adds_nothing(
    definitions: dg.Definitions, instance: dg.DagsterInstance, ledger: str
) -> None:
    result = run(definitions, instance)
    assert result.success
    assert counts(ledger) == (DAYS + 1, DAYS, 0)
    snapshots = stated(result, "knowledge_snapshots")
    placed = stated(result, "decision_embeddings")
    # Whichever came second reads what the first stated, too.
    assert sorted((snapshots["ledger_size/main"], placed["ledger_size/main"])) in ([2 * DAYS, 3 * DAYS], [2 * DAYS, 3 * DAYS + 1])
    assert (snapshots["rows_written"], snapshots["statements"], placed["statements"]) == (DAYS + 1, DAYS + 1, DAYS)
    assert (placed["rows_written"], placed["qualified"], placed["model"]) == (DAYS, DAYS, "typed-384@1")
    assert str(stated(result, "snapshot_embeddings")["model"]).startswith("none")
    checks = {check.check_name: check.passed for check in result.get_asset_check_evaluations()}
    assert checks == dict.fromkeys(
        ("chain_is_unbroken", "head_never_shrinks", "words_hold_no_foreign_number", "every_precedent_is_placed", "recall_is_high_enough"),
        True,
    )
    (probed,) = result.asset_materializations_for_node("recall_probe")
    assert probed.metadata["actions"].value == {
        "finance/approve_discount": {"rows": DAYS, "ef_search": None, "recall_at_10": 1.0, "novelty_distance": None}
    }
    assert probed.metadata["least_recall"].value == 1.0
    measured_on = date.fromisoformat(str(probed.metadata["stated_as"].value))
    told = trace(ledger, "main", "recall_probe", measured_on, "finance/approve_discount")
    assert (told.findings, told.statement.seq) == ((), probed.metadata["entry"].value)
    assert [(one.stated.asset, one.stated.count) for one in told.inputs] == [("decision_embeddings", DAYS)]
    assert [(one.kind, one.seq) for one in told.sources] == [(kind, seq) for seq, kind in enumerate(("decision", "outcome") * DAYS)]

    again = run(definitions, instance)
    assert again.success
    assert (stated(again, "knowledge_snapshots")["rows_written"], stated(again, "knowledge_snapshots")["statements"]) == (0, 0)
    assert stated(again, "decision_embeddings", 1)["digest"] == stated(result, "decision_embeddings", 1)["digest"]
    for name in ("knowledge_snapshots", "decision_embeddings"):
        assert trace(ledger, "main", name, (FIRST + timedelta(days=1)).date()).findings == ()
    assert counts(ledger) == (DAYS + 1, DAYS, 0)


def test_words_with_a_foreign_number_and_a_case_without_a_place_are_found(
    definitions: dg.Definitions, instance: dg.DagsterInstance, ledger: str
) -> None:
    with psycopg.connect(ledger) as connection:
        connection.execute(
            "update precedent.knowledge_snapshots set summary = summary || ' 4711 more.' where period_start = %s", (FIRST.date(),)
        )
        late = decision(1, as_of=as_of(-40))
    append_all(ledger, [late])
    append_all(ledger, [outcome(late.entry_id, 500_000, as_of=as_of(-39))])
    result = run(definitions, instance)
    checks = {check.check_name: check.passed for check in result.get_asset_check_evaluations()}
    assert checks["words_hold_no_foreign_number"] is False
    assert checks["every_precedent_is_placed"] is False
    assert not result.success, "the check of words blocks what would be placed by them"


def test_once_the_budget_is_spent_words_are_the_templates_and_only_words_go_without_a_place(
    definitions: dg.Definitions, instance: dg.DagsterInstance, ledger: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "costs.yaml").write_text("budgets: {all: {tokens: 1}}\n")
    monkeypatch.setenv("PRECEDENT_MODEL_COSTS_FILE", str(tmp_path / "costs.yaml"))
    monkeypatch.setenv("PRECEDENT_OPENAI_API_KEY", "placeholder")
    monkeypatch.setenv("PRECEDENT_OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("PRECEDENT_SUMMARY_MODEL", "wordy")
    with psycopg.connect(ledger) as connection:
        connection.execute("delete from precedent.knowledge_snapshots")
        connection.execute("delete from precedent.decision_embeddings_384")
    result = run(definitions, instance)
    done = {event.node_name for event in result.all_node_events if event.is_step_success}
    assert {"knowledge_snapshots", "decision_embeddings", "recall_probe"} <= done
    assert "snapshot_embeddings" not in done
    with psycopg.connect(ledger) as connection:
        assert connection.execute("select distinct written_by from precedent.knowledge_snapshots").fetchall() == [(TEMPLATE,)]
        found = connection.execute("select purpose, outcome, count(*) from precedent.model_calls group by 1, 2 order by 1").fetchall()
    # Once for the words of all days: what would be refused again is not tried again.
    assert found == [("embedding", "refused", 1), ("words", "refused", DAYS + 1)]
