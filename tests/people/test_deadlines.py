"""Deadlines on a real database: each step once, by whichever process leads, also after one was killed; the clock is moved by hand."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hand_clock import HandClock
from sample_entries import append_all, decision, escalation, policy, review_step

from precedent.clock import to_instant
from precedent.db.engine import API, connect
from precedent.ledger.entry import Draft, ReviewMoved
from precedent.ledger.rebuild import rebuild_projections
from precedent.ledger.store import chain_id_of
from precedent.ledger.verify import verify_database
from precedent.ledger.writer import append
from precedent.people.deadlines import LIMIT, Deadlines, step_of
from precedent.people.review_store import read_due
from precedent.people.reviews import instant_at

HOUR = 3600


@pytest.fixture
def chain_id(database_url: str) -> UUID:
    with connect(database_url) as connection:
        return chain_id_of(connection, "main")


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def deadlines(database_url: str, chain_id: UUID, clock: HandClock) -> Iterator[Deadlines]:
    leader = Deadlines(database_url, chain_id, clock)
    yield leader
    leader.close()


def publish(database_url: str, owner: str = "cfo") -> None:
    """The policy that the sample decisions name, with an owner."""
    with psycopg.connect(database_url) as connection:
        append(connection, chain_id_of(connection, "main"), [policy("publish", "1.0.0")])
        statement = "update precedent.policy_versions set document = jsonb_set(document, '{owner}', to_jsonb(%s::text))"
        connection.execute(statement, (owner,))


def ask(database_url: str, *drafts: Draft) -> list[UUID]:
    return [place.entry_id for place in append_all(database_url, list(drafts))]


def rows(database_url: str, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(database_url) as connection:
        return connection.execute(statement.encode(), parameters).fetchall()


def messages(database_url: str) -> list[tuple[Any, ...]]:
    """Of reviews, without those that opened them: topic, recipient, answer."""
    return rows(
        database_url,
        "select topic, payload ->> 'to', payload ->> 'answer' from precedent.outbox"
        " where topic like 'review.%%' and topic <> 'review.opened' order by id",
    )


def state(database_url: str, decision_id: UUID) -> tuple[Any, ...]:
    columns = "status, reviewer, answer, reminded_at is not null, raised_to, timed_out_at is not null, closed_at is not null"
    return rows(database_url, f"select {columns} from precedent.reviews where decision_id = %s", decision_id)[0]


def test_a_deadline_reminds_then_tells_the_owner_then_denies(database_url: str, deadlines: Deadlines, clock: HandClock) -> None:
    publish(database_url)
    (asked,) = ask(database_url, escalation())
    assert deadlines.act() == 0, "nothing is due yet"
    clock.forward(0.5 * HOUR)
    assert (deadlines.act(), deadlines.act()) == (1, 0)
    assert state(database_url, asked) == ("open", None, None, True, None, False, False)
    clock.forward(0.25 * HOUR)
    assert (deadlines.act(), deadlines.act()) == (1, 0)
    assert state(database_url, asked) == ("open", None, None, True, "cfo", False, False)
    clock.forward(0.25 * HOUR)
    assert (deadlines.act(), deadlines.act()) == (1, 0)
    assert state(database_url, asked) == ("denied", None, "deny", True, "cfo", True, True)
    assert messages(database_url) == [
        ("review.reminder", "deal-desk", None),
        ("review.raised", "cfo", None),
        ("review.timed_out", "cfo", "deny"),
    ]
    told = rows(
        database_url,
        "select c ->> 'principal', c ->> 'op', c ->> 'reason', c ->> 'policy', c ->> 'rule' from ledger.entry e"
        " join ledger.section s using (chain_id, seq) cross join lateral (select convert_from(s.stored[1], 'UTF8')::jsonb as c) x"
        " where get_byte(e.envelope, 1) = 3 order by e.seq",
    )
    assert [row[:2] for row in told] == [("system", "remind"), ("system", "raise"), ("system", "time_out")]
    assert told[-1][2:] == ("nobody answered within 1 h: by the policy it is denied", "finance-constitution@1.0.0", "otherwise")


def test_where_the_policy_escalates_silence_is_no_answer(database_url: str, deadlines: Deadlines, clock: HandClock) -> None:
    publish(database_url)
    asked = escalation(on_timeout="escalate")
    ask(database_url, asked)
    clock.forward(2 * HOUR)
    assert (deadlines.act(), deadlines.act()) == (1, 0)
    assert state(database_url, asked.entry_id) == ("open", None, None, False, None, True, False)
    append_all(database_url, [review_step("answer", asked, "escalation", "approve", now=to_instant(clock.now_us()))])
    assert state(database_url, asked.entry_id)[:3] == ("approved", "anna", "approve")


def test_what_was_slept_through_is_not_made_up_for(database_url: str, deadlines: Deadlines, clock: HandClock) -> None:
    publish(database_url)
    ask(database_url, escalation())
    clock.forward(0.8 * HOUR)
    assert (deadlines.act(), deadlines.act()) == (1, 0)
    assert messages(database_url) == [("review.raised", "cfo", None)]


def test_an_owner_who_is_asked_already_is_not_told_a_second_time(database_url: str, deadlines: Deadlines, clock: HandClock) -> None:
    publish(database_url, owner="Deal-Desk")
    ask(database_url, escalation())
    for _ in range(3):
        clock.forward(0.3 * HOUR)
        deadlines.act()
    assert messages(database_url) == [("review.reminder", "deal-desk", None)]


def test_what_was_answered_or_has_no_deadline_is_left_alone(database_url: str, deadlines: Deadlines, clock: HandClock) -> None:
    answered = escalation(1)
    ask(database_url, answered, escalation(2, within_seconds=None), decision(3, said={"reversible_seconds": 60}))
    append_all(database_url, [review_step("answer", answered, "escalation", "approve")])
    clock.forward(1000 * HOUR)
    assert deadlines.act() == 0
    assert messages(database_url) == [("review.answered", "deal-desk", "approve")]


def test_one_process_leads_and_another_takes_over_when_it_ends(
    database_url: str, chain_id: UUID, deadlines: Deadlines, clock: HandClock
) -> None:
    ask(database_url, escalation())
    other = Deadlines(database_url, chain_id, clock)
    try:
        assert deadlines.act() == 0
        clock.forward(2 * HOUR)
        assert other.act() == 0, "another leads"
        ended = "select pg_terminate_backend(pid, 5000) from pg_locks where locktype = 'advisory' and classid = %s and granted"
        assert rows(database_url, ended, 0x72657669) == [(True,)]
        assert other.act() == 1
    finally:
        other.close()
    assert [topic for topic, _, _ in messages(database_url)] == ["review.timed_out"]


def test_many_that_all_take_themselves_for_the_leader_record_each_step_once(database_url: str, chain_id: UUID, clock: HandClock) -> None:
    """The worst case: the lock is no protection at all, every thread read the same rows before any had appended."""
    asked = ask(database_url, *(escalation(number) for number in range(20)))
    clock.forward(2 * HOUR)
    gate = threading.Barrier(4)
    answers: list[Any] = []

    def act() -> None:
        with connect(database_url, API, autocommit=True) as connection:
            now_us = clock.now_us()
            due = read_due(connection, chain_id, instant_at(now_us), LIMIT)
            gate.wait()
            answers.extend(append(connection, chain_id, [step_of(clock, one, now_us) for one in due]))

    threads = [threading.Thread(target=act) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 80
    assert sum(isinstance(answer, ReviewMoved) for answer in answers) == 60
    assert len(messages(database_url)) == 20
    assert {state(database_url, one)[0] for one in asked} == {"denied"}


def test_an_answer_in_the_same_instant_as_the_deadline_leaves_one_of_them(
    database_url: str, chain_id: UUID, deadlines: Deadlines, clock: HandClock
) -> None:
    """The answer was judged a moment before it was due and arrives after the deadline acted: it is handed back."""
    asked = escalation()
    ask(database_url, asked)
    late = review_step("answer", asked, "escalation", "approve")
    clock.forward(2 * HOUR)
    assert deadlines.act() == 1
    with connect(database_url, API, autocommit=True) as connection:
        assert append(connection, chain_id, [late]) == [ReviewMoved()]
    assert state(database_url, asked.entry_id)[0] == "denied"


def test_in_one_batch_the_first_answer_counts_and_a_step_that_is_not_due_is_no_step(database_url: str, chain_id: UUID) -> None:
    asked, other = escalation(1), escalation(2)
    ask(database_url, asked, other)
    steps = [
        review_step("answer", asked, "escalation", "deny"),
        review_step("answer", asked, "escalation", "approve"),
        review_step("time_out", other, "escalation", "deny"),
        review_step("answer", other, "escalation", "confirm"),
    ]
    with connect(database_url, API, autocommit=True) as connection:
        answers = append(connection, chain_id, steps)
    assert [isinstance(answer, ReviewMoved) for answer in answers] == [False, True, True, True]
    assert (state(database_url, asked.entry_id)[0], state(database_url, other.entry_id)[0]) == ("denied", "open")


def test_a_key_is_no_way_around_the_second_answer(database_url: str, chain_id: UUID) -> None:
    """Of one batch: a key that was refused with its answer is not claimed by a copy that stands behind it."""
    asked = escalation()
    ask(database_url, asked)
    first, second = bytes(32), bytes([1]) * 32

    def step(word: str, claim: bytes) -> Draft:
        return review_step("answer", asked, "escalation", word, claim=claim, fingerprint=claim)

    drafts = [step("deny", first), step("approve", second), step("approve", second), step("deny", first)]
    with connect(database_url, API, autocommit=True) as connection:
        answers = append(connection, chain_id, drafts)
    assert [type(answer).__name__ for answer in answers] == ["Appended", "ReviewMoved", "ReviewMoved", "Claimed"]
    assert rows(database_url, "select count(*) from precedent.idempotency") == [(1,)]


def test_what_deadlines_did_is_verified_and_rebuilt(database_url: str, deadlines: Deadlines, clock: HandClock) -> None:
    asked = [escalation(1), escalation(2, on_timeout="escalate"), escalation(3)]
    ask(database_url, *asked)
    clock.forward(0.5 * HOUR)
    assert deadlines.act() == 3
    append_all(database_url, [review_step("answer", asked[2], "escalation", "deny", now=to_instant(clock.now_us()))])
    clock.forward(HOUR)
    assert deadlines.act() == 2
    before = rows(database_url, "select * from precedent.reviews order by decision_id")
    assert verify_database(database_url, processes=1).is_intact
    rebuild_projections(database_url)
    assert rows(database_url, "select * from precedent.reviews order by decision_id") == before
    assert len(messages(database_url)) == 6, "a rebuild tells nobody anything"
