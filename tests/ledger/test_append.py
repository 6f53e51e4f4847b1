"""The append function on a real database: what it writes is what the Python code says, and what it refuses."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import psycopg
import pytest
import sample_entries as sample

from precedent.db.engine import ANALYST, API, ERASER, OWNER, PIPELINE, connect
from precedent.errors import LedgerBroken
from precedent.ledger.entry import (
    NO_PREVIOUS,
    Answer,
    Appended,
    Claimed,
    Draft,
    Envelope,
    Kind,
    NewSubject,
    Section,
    Stale,
    SubjectMoved,
    body_root_of,
    commit_of,
    draft_entry,
    leaf_of,
)
from precedent.ledger.store import chain_id_of
from precedent.ledger.verify import verify_database
from precedent.ledger.writer import append


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    with connect(database_url, API, autocommit=True) as opened:
        yield opened


@pytest.fixture
def chain_id(connection: psycopg.Connection) -> uuid.UUID:
    return chain_id_of(connection, "main")


def count(connection: psycopg.Connection, table: str = "ledger.entry") -> int:
    row = connection.execute(f"select count(*) from {table}".encode()).fetchone()
    return row[0] if row else -1


def seqs(answers: list[Answer]) -> list[int]:
    return [answer.seq for answer in answers if isinstance(answer, Appended)]


def test_the_database_makes_the_bytes_that_the_python_code_makes(connection: psycopg.Connection, chain_id: uuid.UUID) -> None:
    drafts = [sample.event(1), sample.personal_event(2), sample.decision(3)]
    prev = NO_PREVIOUS
    for seq, (draft, answer) in enumerate(zip(drafts, append(connection, chain_id, drafts), strict=True)):
        assert isinstance(answer, Appended)
        root = body_root_of([commit_of(part.section_id, part.salt, part.stored) for part in draft.sections])
        envelope = Envelope(draft.kind, chain_id, seq, answer.recorded_at_us, draft.entry_id, prev, root)
        assert answer == Appended(draft.entry_id, seq, envelope.pack(), leaf_of(envelope.pack()))
        prev = answer.leaf


@pytest.mark.parametrize("level", [psycopg.IsolationLevel.REPEATABLE_READ, psycopg.IsolationLevel.SERIALIZABLE])
def test_any_isolation_but_read_committed_is_refused(database_url: str, level: psycopg.IsolationLevel) -> None:
    with connect(database_url, API) as connection:
        connection.isolation_level = level
        with pytest.raises(psycopg.ProgrammingError, match="READ COMMITTED alone"):
            append(connection, chain_id_of(connection, "main"), [sample.event()])


@pytest.mark.parametrize("setting", ["off", "local", "remote_write"])
def test_a_commit_that_may_be_forgotten_is_refused(connection: psycopg.Connection, chain_id: uuid.UUID, setting: str) -> None:
    connection.execute(f"set synchronous_commit = {setting}".encode())
    with pytest.raises(psycopg.ProgrammingError, match="needs synchronous_commit = on"):
        append(connection, chain_id, [sample.event()])
    assert count(connection) == 0


ALLOWED = {API: {1, 2, 3, 4, 5, 6}, PIPELINE: {7, 10}, ERASER: {8}, OWNER: {9, 11}, ANALYST: set()}


@pytest.mark.parametrize("role", sorted(ALLOWED))
def test_a_role_appends_its_own_kinds_alone(database_url: str, role: str) -> None:
    with connect(database_url) as administrator:
        chain_id = chain_id_of(administrator, "main")
    for kind in sorted(set(Kind) - ALLOWED[role]):
        with connect(database_url, role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            append(connection, chain_id, [draft_entry(sample.CLOCK, kind, {Section.CORE: {}})])
    for kind in sorted(ALLOWED[role] - {1, 2, 3, 4, 5, 6, 8}):  # those have projections, which want a full core, or a function of their own
        with connect(database_url, role) as connection:
            (answer,) = append(connection, chain_id, [draft_entry(sample.CLOCK, Kind(kind), {Section.CORE: {}})])
            assert isinstance(answer, Appended)


def test_one_forbidden_kind_refuses_the_whole_batch(connection: psycopg.Connection, chain_id: uuid.UUID) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="may not append entries of kind 8"):
        append(connection, chain_id, [sample.event(), draft_entry(sample.CLOCK, Kind.ERASURE, {Section.CORE: {}})])
    assert count(connection) == 0


def test_an_unknown_chain_is_refused(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.ProgrammingError, match="no such chain"):
        append(connection, uuid.uuid4(), [sample.event()])


def salted(draft: Draft, salt: bytes) -> Draft:
    return replace(draft, sections=tuple(part._replace(salt=salt) for part in draft.sections))


APPEND_ONE = """
select ledger.append(%s, array[%s::uuid], array[%s::smallint], array[null::bigint], array[null::bytea], array[null::bytea],
                     array[%s::bytea], array[%s::bytea], array[%s::bytea], array[%s::bytea], array[%s::bytea], '{}', '{}', '{}', '{}', '{}')
"""


def test_sections_that_make_no_entry_are_refused(connection: psycopg.Connection, chain_id: uuid.UUID) -> None:
    good = sample.event()
    core, facts, *_ = good.sections
    for sections in ((core, core), (facts, core), (facts,), (core, facts._replace(section_id=6)), (core._replace(salt=b"short"),), ()):
        with pytest.raises(ValueError, match="entry"):
            replace(good, sections=sections)
    for column, stored in (("p_cores", None), ("p_personal", bytes(31)), ("p_shadows", b"")):
        values = {
            "p_cores": core.salt + core.stored,
            "p_facts": None,
            "p_personal": None,
            "p_memories": None,
            "p_shadows": None,
            column: stored,
        }
        with pytest.raises(psycopg.ProgrammingError, match="couldn't append"):
            connection.execute(APPEND_ONE, [chain_id, good.entry_id, int(good.kind), *values.values()])
    assert append(connection, chain_id, []) == []
    assert count(connection) == 0


def test_what_was_decided_under_an_older_epoch_goes_back(connection: psycopg.Connection, chain_id: uuid.UUID) -> None:
    assert seqs(append(connection, chain_id, [sample.decision(1, epoch=0)])) == [0]
    assert seqs(append(connection, chain_id, [sample.flag("finance", "approve_discount")])) == [1]
    answers = append(connection, chain_id, [sample.decision(2, epoch=0), sample.decision(3, epoch=2), sample.event(4)])
    assert [type(answer) for answer in answers] == [Stale, Appended, Appended]
    assert count(connection, "precedent.decisions") == 2


def test_a_flag_in_the_same_batch_does_not_outrun_what_stands_before_it(connection: psycopg.Connection, chain_id: uuid.UUID) -> None:
    answers = append(connection, chain_id, [sample.decision(1, epoch=0), sample.flag("*", "*", enabled=False)])
    assert seqs(answers) == [0, 1]
    assert append(connection, chain_id, [sample.decision(2, epoch=0)]) == [Stale()]


def test_one_key_makes_one_entry_in_one_batch(connection: psycopg.Connection, chain_id: uuid.UUID) -> None:
    copies = [sample.event(n, claim=b"key", fingerprint=b"body") for n in range(32)]
    answers = append(connection, chain_id, copies)
    assert seqs(answers) == [0]
    assert answers[1:] == [Claimed(copies[0].entry_id, b"body")] * 31
    assert count(connection) == 1


def test_one_key_makes_one_entry_over_two_connections(database_url: str, chain_id: uuid.UUID) -> None:
    """The second waits for the first's commit, and is handed its entry."""
    answers: list[list[Answer]] = []

    def second() -> None:
        with connect(database_url, API) as connection:
            answers.append(append(connection, chain_id, [sample.event(n, claim=b"key", fingerprint=b"body") for n in range(16)]))

    with connect(database_url, API) as first:
        taken = append(first, chain_id, [sample.event(n, claim=b"key", fingerprint=b"body") for n in range(16)])
        other = threading.Thread(target=second)
        other.start()
        await_lock(database_url)
        first.commit()
        other.join()
    assert isinstance(taken[0], Appended)
    assert answers == [[Claimed(taken[0].entry_id, b"body")] * 16]
    assert verify_database(database_url, processes=1).size == 1


def await_lock(url: str) -> None:
    """Return once some session of the database waits for a lock."""
    with connect(url, autocommit=True) as connection:
        while not count_waiting(connection):
            pass


def count_waiting(connection: psycopg.Connection) -> int:
    row = connection.execute(
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    ).fetchone()
    return row[0] if row else 0


def test_a_key_that_was_used_is_answered_with_the_first_fingerprint(connection: psycopg.Connection, chain_id: uuid.UUID) -> None:
    first = sample.event(1, claim=b"key", fingerprint=b"one body")
    append(connection, chain_id, [first])
    assert append(connection, chain_id, [sample.event(2, claim=b"key", fingerprint=b"another")]) == [Claimed(first.entry_id, b"one body")]


def test_a_retry_after_a_lost_answer_finds_its_entry(connection: psycopg.Connection, chain_id: uuid.UUID) -> None:
    drafts = [sample.event(1, claim=b"key", fingerprint=b"body"), sample.personal_event(2), sample.decision(3, epoch=0)]
    before = append(connection, chain_id, drafts)
    append(connection, chain_id, [sample.flag("finance", "approve_discount")])
    assert append(connection, chain_id, drafts) == before, "not stale, not claimed, not moved: it is there"
    assert count(connection) == 4
    assert count(connection, "precedent.decisions") == 1


def test_the_same_id_with_other_bytes_is_refused(connection: psycopg.Connection, chain_id: uuid.UUID) -> None:
    draft = sample.event(1)
    append(connection, chain_id, [draft])
    with pytest.raises(LedgerBroken, match="exists with other bytes"):
        append(connection, chain_id, [salted(draft, bytes(32))])


def test_the_second_to_name_a_new_subject_starts_over(connection: psycopg.Connection, chain_id: uuid.UUID) -> None:
    first, second = sample.personal_event(7), sample.personal_event(7)
    answers = append(connection, chain_id, [first, second])
    assert [type(answer) for answer in answers] == [Appended, SubjectMoved]
    assert append(connection, chain_id, [sample.personal_event(7)]) == [SubjectMoved()]
    assert count(connection, "precedent.subjects") == count(connection, "ledger.subject_key") == count(connection) == 1
    assert isinstance(first.subject, NewSubject)
    row = connection.execute("select subject_id, epoch_key, wrapped from ledger.subject_key").fetchone()
    assert row == (first.subject.subject_id, first.subject.epoch_key, first.subject.wrapped)


def test_time_increases_when_the_clock_goes_back(database_url: str, connection: psycopg.Connection, chain_id: uuid.UUID) -> None:
    future_us = int(datetime(2199, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
    (planted,) = append(connection, chain_id, [sample.event(1)])
    assert isinstance(planted, Appended)
    envelope = replace(Envelope.unpack(planted.envelope), recorded_at_us=future_us).pack()
    with connect(database_url) as administrator:
        administrator.execute("alter table ledger.entry disable trigger user")
        administrator.execute("update ledger.entry set envelope = %s, leaf = %s", (envelope, leaf_of(envelope)))
        administrator.execute("alter table ledger.entry enable always trigger refuse_change")
    answers = append(connection, chain_id, [sample.event(2), sample.event(3)])
    assert [answer.recorded_at_us for answer in answers if isinstance(answer, Appended)] == [future_us + 1, future_us + 2]


def test_concurrent_appends_leave_no_fork_and_no_gap(database_url: str, chain_id: uuid.UUID) -> None:
    found: list[int] = []

    def work() -> None:
        with connect(database_url, API, autocommit=True) as connection:
            for n in range(25):
                found.extend(seqs(append(connection, chain_id, [sample.event(n)])))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(200))
    report = verify_database(database_url, processes=1)
    assert report.is_intact, str(report)
    assert report.size == 200


def test_a_refused_projection_takes_the_entry_back(connection: psycopg.Connection, chain_id: uuid.UUID) -> None:
    with pytest.raises(psycopg.ProgrammingError, match="couldn't activate"):
        append(connection, chain_id, [sample.event(), sample.policy("activate", "9.9.9")])
    assert count(connection) == count(connection, "ledger.section") == count(connection, "precedent.events") == 0


def test_what_must_be_told_is_queued_with_its_decision(connection: psycopg.Connection, chain_id: uuid.UUID) -> None:
    past = "2012-01-01T00:00:00.000000Z"
    answered, asked, imported = (
        sample.decision(1),
        sample.decision(2, verdict="escalate"),
        sample.decision(3, verdict="escalate", as_of=past),
    )
    append(connection, chain_id, [answered, asked, imported])
    rows = connection.execute("select entry_id, topic, payload ->> 'to' from precedent.outbox order by id").fetchall()
    assert rows == [(answered.entry_id, "decision.notify", "sales"), (asked.entry_id, "review.opened", "deal-desk")]
    assert connection.execute("select decision_id, status from precedent.reviews").fetchall() == [(asked.entry_id, "open")]
