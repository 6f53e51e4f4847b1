"""One request over two connections: the second waits for the first, and finds what it wrote or takes its place."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from uuid import UUID

import psycopg
import pytest
import sample_entries as sample

from precedent.db.engine import API, connect, with_options
from precedent.ledger.entry import Answer, Appended, Claimed, Draft
from precedent.ledger.store import chain_id_of
from precedent.ledger.verify import verify_database
from precedent.ledger.writer import append

SECOND = "the second connection"


@pytest.fixture
def chain_id(database_url: str) -> UUID:
    with connect(database_url) as connection:
        return chain_id_of(connection, "main")


@contextmanager
def meanwhile(url: str, chain_id: UUID, draft: Draft) -> Iterator[list[Answer]]:
    """A second connection appends `draft` and commits; the block runs while it waits for the first, whose end lets it go on."""
    answers: list[Answer] = []

    def second() -> None:
        with psycopg.connect(with_options(url, role=API), application_name=SECOND) as connection:
            answers.extend(append(connection, chain_id, [draft]))

    thread = threading.Thread(target=second)
    thread.start()
    with connect(url, autocommit=True) as watching:
        while not watching.execute(
            "select 1 from pg_stat_activity where datname = current_database() and application_name = %s and wait_event_type = 'Lock'",
            (SECOND,),
        ).fetchone():
            assert thread.is_alive()
    yield answers
    thread.join()


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_the_same_entry_over_two_connections_stands_once(database_url: str, chain_id: UUID, ends: str) -> None:
    draft = sample.event(1, claim=b"key", fingerprint=b"")
    with connect(database_url, API) as first:
        (own,) = append(first, chain_id, [draft])
        with meanwhile(database_url, chain_id, draft) as answers:
            getattr(first, ends)()
    (found,) = answers
    assert isinstance(own, Appended)
    assert isinstance(found, Appended)
    assert (found == own) is (ends == "commit"), "taken back, it is written anew, at a time of its own"
    assert found.seq == own.seq == 0
    require_intact(database_url, 1)


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_one_key_over_two_connections_has_one_entry(database_url: str, chain_id: UUID, ends: str) -> None:
    one, other = (sample.event(number, claim=b"key", fingerprint=b"f") for number in range(2))
    with connect(database_url, API) as first:
        append(first, chain_id, [one])
        with meanwhile(database_url, chain_id, other) as answers:
            getattr(first, ends)()
    (answer,) = answers
    if ends == "commit":
        assert answer == Claimed(one.entry_id, b"f")
    else:
        assert isinstance(answer, Appended)
        assert (answer.entry_id, answer.seq) == (other.entry_id, 0)
    require_intact(database_url, 1)


def test_two_people_under_one_pseudonym_are_one(database_url: str, chain_id: UUID) -> None:
    one, other = sample.personal_event(7), sample.personal_event(7)
    with connect(database_url, API) as first:
        append(first, chain_id, [one])
        with meanwhile(database_url, chain_id, other) as answers:
            first.commit()
    assert [type(answer).__name__ for answer in answers] == ["SubjectMoved"]
    require_intact(database_url, 1)


def test_who_waits_for_its_own_other_connection_is_refused_in_time_and_writes_nothing(database_url: str, chain_id: UUID) -> None:
    """A request that holds the chain on one connection and appends on another waits for itself: the statement's limit ends it."""
    with connect(database_url, API) as first, connect(with_options(database_url, statement_timeout="200"), API) as second:
        (own,) = append(first, chain_id, [sample.event(1)])
        with pytest.raises(psycopg.errors.QueryCanceled):
            append(second, chain_id, [sample.event(2)])
        second.rollback()
        first.commit()
        (later,) = append(second, chain_id, [sample.event(3)])
    assert isinstance(own, Appended)
    assert isinstance(later, Appended)
    assert (own.seq, later.seq, later.prev_leaf) == (0, 1, own.leaf)
    require_intact(database_url, 2)


def test_a_savepoint_that_is_taken_back_leaves_no_gap(database_url: str, chain_id: UUID) -> None:
    with connect(database_url, API) as connection:
        (first,) = append(connection, chain_id, [sample.event(1)])
        with connection.transaction(force_rollback=True):
            append(connection, chain_id, [sample.event(2), sample.flag("finance", "approve_discount")])
        draft = replace(sample.decision(3), epoch=0)
        (last,) = append(connection, chain_id, [draft])
    assert isinstance(first, Appended)
    assert isinstance(last, Appended), "the flag that was taken back made nothing stale"
    assert (last.seq, last.prev_leaf) == (1, first.leaf)
    require_intact(database_url, 2)


def require_intact(url: str, size: int) -> None:
    report = verify_database(url, processes=1)
    assert (report.is_intact, report.size) == (True, size), str(report)
