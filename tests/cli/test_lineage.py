"""`precedent lineage` as typed: for people, as JSON, and its exit code where a row was changed."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import psycopg
import pytest
import sample_entries as sample

from precedent.cli import main
from precedent.clock import SystemClock, to_instant
from precedent.db.engine import PIPELINE, connect
from precedent.db.store import read_ledger_size
from precedent.ledger.store import chain_id_of
from precedent.lineage.state import Maker, note_due, read_prefix, state_due
from precedent.memory.snapshot import distill_days

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = AT.date()


@pytest.fixture
def decision_id(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of the one decision of a day whose snapshot is stated."""
    decided = sample.decision(1, as_of=to_instant(int(AT.timestamp()) * 1_000_000))
    sample.append_all(database_url, [decided])
    with connect(database_url, PIPELINE) as connection:
        chain_id = chain_id_of(connection, "main")
        prefix = read_prefix(connection, chain_id, read_ledger_size(connection, "main"))
    distill_days(database_url, chain_id, prefix.size, DAY, DAY.replace(day=2), datetime.now(UTC))
    note_due(database_url, chain_id, ["knowledge_snapshots"], [DAY])
    state_due(database_url, prefix, "knowledge_snapshots", Maker("test"), SystemClock())
    monkeypatch.setenv("PRECEDENT_DATABASE_URL", database_url)
    return str(decided.entry_id)


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["precedent", "lineage", *arguments])
    with pytest.raises(SystemExit) as ended:
        main.main()
    return int(ended.value.code or 0), *capsys.readouterr()


def test_a_snapshot_leads_back_to_its_decision(
    decision_id: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told, _ = run(monkeypatch, capsys, "knowledge_snapshots", "2026-03-01", "--row", "finance-daily")
    assert code == 0
    assert "1 decision entries: seq 0" in told
    assert decision_id in told
    assert "Everything is as it was stated." in told
    code, told, _ = run(monkeypatch, capsys, "knowledge_snapshots", "2026-03-01", "--json")
    found = json.loads(told)
    assert (code, found["intact"], found["entries"], found["decision_ids"]) == (0, True, {"decision": [[0, 0]]}, [decision_id])
    assert found["statement"]["digest"] == found["rows"]["digest"]


@pytest.mark.usefixtures("decision_id")
def test_a_changed_row_is_told_by_name_and_by_exit_code(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("update precedent.knowledge_snapshots set summary = ''")
    code, told, _ = run(monkeypatch, capsys, "knowledge_snapshots", "2026-03-01")
    assert code == 1
    assert "NOT AS STATED knowledge_snapshots of 2026-03-01: the row finance-daily/" in told


@pytest.mark.usefixtures("decision_id")
def test_a_day_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, complaint = run(monkeypatch, capsys, "knowledge_snapshots", "March")
    assert (code, complaint) == (1, "couldn't read 'March': a partition is a day, such as 2012-03-01\n")
