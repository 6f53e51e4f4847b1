"""Memory under faults: a run of `distill` that is killed in the middle, and a model server that answers wrongly while decisions go on."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from embedding_server import EmbeddingServer, serve_embeddings
from in_process import Api, TravellingClock
from running_api import install, wait_until
from sample_entries import append_all, decision, outcome
from starlette.testclient import TestClient

from api.app import create_app
from precedent.clock import to_instant
from precedent.db.tables import metadata

FIRST = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAYS = 3
SECONDS = 120.0
SNAPSHOTS, VECTORS = "knowledge_snapshots", "decision_embeddings_384"
WAITING = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
Rows = list[tuple[Any, ...]]


@pytest.fixture(scope="module")
def ledger(module_database_url: str) -> str:
    """A decision a day with its outcome, both known on that day."""
    for day in range(DAYS):
        at = to_instant(int((FIRST + timedelta(days=day)).timestamp()) * 1_000_000)
        made = decision(1, as_of=at)
        append_all(module_database_url, [made, outcome(made.entry_id, 500_000, as_of=at)])
    return module_database_url


def distill(definitions: dg.Definitions) -> dg.ExecuteInProcessResult:
    """All days in one run."""
    first, last = FIRST.date().isoformat(), (FIRST + timedelta(days=DAYS - 1)).date().isoformat()
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    with dg.DagsterInstance.ephemeral() as instance:
        return definitions.resolve_job_def("distill").execute_in_process(instance=instance, tags=tags, raise_on_error=False)


def rows(url: str, table: str) -> Rows:
    """Every column but how long the ledger was, which the statements of each run make longer."""
    with psycopg.connect(url) as connection:
        found = connection.execute(f"select to_jsonb(t) - 'ledger_size' from precedent.{table} t order by 1".encode())
        return found.fetchall()


@pytest.mark.parametrize("table", [SNAPSHOTS, VECTORS])
# The child forgets the threads of its parent, and shares nothing with it that it writes to.
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_run_that_is_killed_in_the_middle_leaves_whole_rows_and_the_next_makes_those_of_an_undisturbed_one(
    definitions: dg.Definitions, ledger: str, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    monkeypatch.setenv("PRECEDENT_DATABASE_URL", ledger)
    assert distill(definitions).success
    whole = {name: rows(ledger, name) for name in (SNAPSHOTS, VECTORS)}
    assert {name: len(found) for name, found in whole.items()} == {SNAPSHOTS: DAYS, VECTORS: DAYS}
    last = "period_start" if table == SNAPSHOTS else "seq"
    with psycopg.connect(ledger, autocommit=True) as connection:
        connection.execute(f"create table kept as select * from precedent.{table} order by {last} desc limit 1".encode())
        for name in (SNAPSHOTS, VECTORS):
            connection.execute(f"delete from precedent.{name}".encode())
    # A process of its own, with all that is loaded here: the run waits for the last row, which another transaction holds.
    running = multiprocessing.get_context("fork").Process(target=distill, args=(definitions,))
    with psycopg.connect(ledger) as blocker:
        columns = ", ".join(column.name for column in metadata.tables[f"precedent.{table}"].columns if column.computed is None)
        blocker.execute(f"insert into precedent.{table} ({columns}) select {columns} from kept".encode())
        running.start()
        wait_until(lambda: waits(ledger), SECONDS, "the run to write its last row")
        running.kill()
        running.join()
        left = {name: rows(ledger, name) for name in (SNAPSHOTS, VECTORS)}
        blocker.rollback()
    assert running.exitcode == -9
    assert all(row in whole[name] for name, found in left.items() for row in found)
    assert len(left[table]) == (DAYS - 1 if table == SNAPSHOTS else 0), "snapshots are committed day by day, vectors batch by batch"
    assert distill(definitions).success
    assert {name: rows(ledger, name) for name in (SNAPSHOTS, VECTORS)} == whole
    with psycopg.connect(ledger, autocommit=True) as connection:
        connection.execute("drop table kept")


def waits(url: str) -> bool:
    with psycopg.connect(url) as connection:
        return connection.execute(WAITING).fetchone() != (0,)


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddingServer]:
    """A model server that the settings name."""
    with serve_embeddings() as server:
        monkeypatch.setenv("PRECEDENT_OPENAI_API_KEY", "placeholder")
        monkeypatch.setenv("PRECEDENT_OPENAI_BASE_URL", server.url)
        yield server


@pytest.fixture
def api(ledger: str, tmp_path: Path) -> Iterator[Api]:
    installation, clock = install(ledger, tmp_path), TravellingClock()
    with TestClient(create_app(installation.settings, clock)) as client:
        client.headers["authorization"] = f"Bearer {installation.token}"
        yield Api(client, installation, clock)


def test_while_a_model_server_answers_wrongly_decisions_go_on_and_its_step_alone_fails_for_good(
    definitions: dg.Definitions, ledger: str, monkeypatch: pytest.MonkeyPatch, api: Api, wrong: EmbeddingServer
) -> None:
    monkeypatch.setenv("PRECEDENT_DATABASE_URL", ledger)
    answer, verdicts = wrong.answer, []

    def answer_short(texts: list[str]) -> Any:
        verdicts.append(api.decide()["verdict"])
        body = answer(texts)
        return body | {"data": [one | {"embedding": one["embedding"][:384]} for one in body["data"]]}

    wrong.answer = answer_short
    result = distill(definitions)
    assert not result.success
    assert verdicts == ["approve"], "decided while the step waited for its answer, which was asked for once"
    assert {event.node_name for event in result.all_node_events if event.is_step_failure} == {"snapshot_embeddings"}
    assert not [event for event in result.all_events if event.event_type_value == "STEP_UP_FOR_RETRY"]
    assert rows(ledger, "snapshot_embeddings_1536") == []
    assert len(rows(ledger, SNAPSHOTS)) == DAYS

    wrong.answer = answer
    assert distill(definitions).success
    assert len(rows(ledger, "snapshot_embeddings_1536")) == DAYS
