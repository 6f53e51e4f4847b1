"""Verification of a whole database: spans and processes, beside writers, from the command line; and the rebuild."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import sample_entries as sample
from exporting import Covered
from integrated import SEED
from ledger_command import run_ledger

from precedent.db.engine import API, connect
from precedent.errors import SettingsInvalid
from precedent.ledger import verify
from precedent.ledger.projection_store import TABLES
from precedent.ledger.rebuild import rebuild_projections
from precedent.ledger.report import MAX_FINDINGS, Finding, Tally, Verdict
from precedent.ledger.store import chain_id_of
from precedent.ledger.verify import verify_database
from precedent.ledger.writer import append

TRIGGERS_OFF = "alter table ledger.entry disable trigger user; alter table ledger.section disable trigger user; "


def run(url: str, statements: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statements.encode())


def test_an_empty_ledger_is_intact_and_a_chain_must_exist(database_url: str) -> None:
    report = verify_database(database_url)
    assert (report.is_intact, report.size, report.head_leaf_hex) == (True, 0, "")
    with pytest.raises(SettingsInvalid, match="no chain is named 'other'"):
        verify_database(database_url, chain="other")


def test_a_ledger_whose_entries_were_all_deleted_is_not_empty(database_url: str) -> None:
    sample.fill(database_url)
    run(database_url, TRIGGERS_OFF + "delete from ledger.entry")
    report = verify_database(database_url)
    assert report.counts["stray"] > 0
    assert report.counts["projection_extra"] > 0


def test_spans_over_processes_say_what_one_process_says(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    receipts = sample.fill(database_url)
    monkeypatch.setattr(verify, "SEGMENT_ENTRIES", 8)
    heard: list[tuple[int, int]] = []
    reports = [
        verify_database(database_url, processes=1),
        verify_database(database_url, processes=2, on_progress=lambda done, size: heard.append((done, size))),
    ]
    for report in reports:
        assert report.is_intact, str(report)
        assert report.counts["intact"] == report.size == len(receipts)
        assert report.head_leaf_hex == receipts[-1].leaf.hex()
    assert reports[0].counts == reports[1].counts
    assert heard[-1] == (34, 34)
    assert len(heard) == 5


# Just before, at and after a border between spans of eight.
@pytest.mark.parametrize("seq", [7, 8, 9])
def test_faults_at_a_border_are_found_as_anywhere_else(database_url: str, monkeypatch: pytest.MonkeyPatch, seq: int) -> None:
    sample.fill(database_url)
    run(database_url, TRIGGERS_OFF)
    for length in (8, 1000):
        monkeypatch.setattr(verify, "SEGMENT_ENTRIES", length)
        for column, where in (("leaf", "entry.leaf"), ("envelope", "entry.envelope")):
            flip = f"update ledger.entry set {column} = set_byte({column}, 1, get_byte({column}, 1) # 64) where seq = {seq}"
            run(database_url, flip)
            report = verify_database(database_url, processes=1)
            assert (seq, where) in [(finding.seq, finding.where) for finding in report.findings], str(report)
            assert report.counts["intact"] == 33
            run(database_url, flip)
    rewrite = f"update ledger.entry set envelope = set_byte(envelope, 33, get_byte(envelope, 33) # 1) where seq = {seq};"
    run(database_url, rewrite + rf"update ledger.entry set leaf = sha256('\x00'::bytea || envelope) where seq = {seq}")
    for length in (8, 1000):
        monkeypatch.setattr(verify, "SEGMENT_ENTRIES", length)
        report = verify_database(database_url, processes=1)
        assert [finding.seq for finding in report.findings if finding.verdict == Verdict.FORKED] == [seq + 1]


def test_verification_beside_writers_finds_nothing_wrong(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "SEGMENT_ENTRIES", 200)
    sample.fill(database_url)
    done = threading.Event()

    def write() -> None:
        with connect(database_url, API, autocommit=True) as connection:
            chain_id = chain_id_of(connection, "main")
            while not done.is_set():
                decision = sample.decision(1, verdict="escalate")
                drafts = [sample.event(1), sample.personal_event(len(done_seqs)), decision, sample.outcome(decision.entry_id, 400_000)]
                done_seqs.extend(append(connection, chain_id, [*drafts, sample.flag("finance", "approve_discount")]))

    done_seqs: list[object] = []
    writer = threading.Thread(target=write)
    writer.start()
    try:
        reports = [verify_database(database_url, processes=1) for _ in range(3)]
    finally:
        done.set()
        writer.join()
    for report in reports:
        assert report.is_intact, str(report)
    assert reports[-1].size > reports[0].size


def test_a_ledger_that_was_just_filled_is_read_once_not_once_an_entry(database_url: str) -> None:
    """Before statistics are gathered; the server counts what was read, when the session ends."""
    size = 2000
    sample.append_all(database_url, [sample.event(number) for number in range(size)])

    def read() -> int:
        with psycopg.connect(database_url) as connection:
            query = "select idx_tup_read from pg_stat_user_indexes where indexrelname = 'section_pkey'"
            return int((connection.execute(query).fetchone() or (0,))[0])

    before = read()
    assert verify_database(database_url, processes=1).is_intact
    assert 0 < read() - before < 10 * size


def test_what_cannot_be_read_as_a_projection_is_a_finding_and_not_a_crash(database_url: str) -> None:
    sample.fill(database_url)
    run(
        database_url,
        """
        drop function precedent.outcome_row;
        create function precedent.outcome_row(uuid, bigint, timestamptz, uuid, jsonb, jsonb, integer) returns setof precedent.outcomes
        language plpgsql as $$ begin raise invalid_text_representation; end $$
        """,
    )
    report = verify_database(database_url, processes=1)
    assert {finding.where for finding in report.findings} == {"outcomes", "policy_variants_stats"}
    assert "couldn't be compared" in report.findings[0].words


def contents(url: str) -> dict[str, list[str]]:
    with psycopg.connect(url) as connection:
        return {
            table: sorted(row[0] for row in connection.execute(f"select to_jsonb(t)::text from precedent.{table} t".encode()))
            for table in (*TABLES, "outbox", "idempotency", "subjects")
        }


def test_a_rebuild_leaves_every_projection_as_it_was_and_sends_nothing_again(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sample.fill(database_url)
    sample.govern(database_url)
    sample.append_all(database_url, [sample.event(1, claim=b"key", fingerprint=b"body")])
    before = contents(database_url)
    assert all(before.values()), "something of everything"
    ruin = "update precedent.decisions set verdict = 'deny'; delete from precedent.events; delete from precedent.control_epoch;"
    run(database_url, ruin + "update precedent.policy_variants_stats set alpha = 99; update precedent.node_flags set enabled = not enabled")
    monkeypatch.setattr("precedent.ledger.rebuild.RANGE_ENTRIES", 5)
    heard: list[tuple[int, int]] = []
    assert rebuild_projections(database_url, on_progress=lambda done, size: heard.append((done, size))) == 53
    assert contents(database_url) == before
    assert heard[-1] == (53, 53)
    report = verify_database(database_url, processes=1)
    assert (report.is_intact, report.counts["erased"]) == (True, 1), str(report)


def test_a_rebuild_that_fails_changes_nothing(database_url: str) -> None:
    sample.fill(database_url)
    before = contents(database_url)
    run(database_url, TRIGGERS_OFF + r"update ledger.section set stored[1] = 'not json' where seq = 30")
    with pytest.raises(psycopg.DataError):
        rebuild_projections(database_url)
    assert contents(database_url) == before


@pytest.fixture
def command(database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Runs `precedent ledger …` on the fresh database; its exit code and what it printed."""
    monkeypatch.setenv("PRECEDENT_DATABASE_URL", database_url)

    def call(*arguments: str) -> tuple[int, str]:
        return run_ledger(monkeypatch, capsys, *arguments)[:2]

    return call


def test_the_command_line_says_what_is_wrong_and_exits_1(database_url: str, command: Callable[..., tuple[int, str]]) -> None:
    sample.fill(database_url)
    code, text = command("verify")
    assert code == 0
    assert "34 intact, 0 mutated" in text
    run(database_url, "update precedent.decisions set verdict = 'deny' where seq = 19")
    code, text = command("verify", "--json", "--processes", "1")
    report = json.loads(text)
    assert (code, report["is_intact"], report["counts"]["projection_wrong"]) == (1, False, 1)
    assert report["findings"][0]["where"] == "decisions.verdict"
    code, text = command("rebuild")
    assert (code, text) == (0, "projections of chain main rebuilt from 34 entries\n")
    assert command("verify")[0] == 0


def test_the_command_line_hears_the_signer_and_the_anchor(
    database_url: str, command: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sample.fill(database_url)
    covered = Covered(database_url, tmp_path)
    covered.integrate()
    assert "compared with no witness outside the database" in command("verify")[1], "without a key"
    monkeypatch.setenv("PRECEDENT_SIGNER_KEY", SEED.hex())
    monkeypatch.setenv("PRECEDENT_HOME", str(tmp_path))
    code, text = command("verify")
    assert code == 0, text
    assert "34 entries under checkpoints; compared with the signer's memory, the anchor" in text
    off = TRIGGERS_OFF + "alter table ledger.checkpoint disable trigger user; "
    run(database_url, off + "delete from ledger.entry where seq >= 30; delete from ledger.checkpoint")
    code, text = command("verify", "--json")
    report = json.loads(text)
    assert (code, report["counts"]["truncated"], report["covered"]) == (1, 2, 0)


def test_findings_beyond_the_first_hundred_are_counted() -> None:
    tally, other = Tally(), Tally()
    finding = Finding(Verdict.MUTATED, 1, None, "entry.leaf", "it was changed")
    for _ in range(70):
        tally.add(finding)
        other.add(finding)
    tally.merge(other)
    assert (len(tally.findings), tally.left_out) == (MAX_FINDINGS, 40)
    assert str(finding) == "seq 1 mutated: entry.leaf: it was changed"
