"""The outbox on a real database, under the role that the API has; its rows come from the real append."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hand_clock import HandClock
from sample_entries import append_all, decision

from precedent.adapters.contract import AdapterUnavailable
from precedent.db.engine import API, connect
from precedent.ledger.store import chain_id_of
from precedent.people.notify import MAX_ATTEMPTS, TEXTS, Connect, Drained, Message, channel_of, drain, message_of, now_of
from precedent.people.store import Claimed, count_messages, read_undelivered, replay_dead


@dataclass
class EvenClock(HandClock):
    """One that a test moves, whose random bytes are all the same."""

    random: int = 0

    def random_bytes(self, count: int) -> bytes:
        return bytes([self.random]) * count


@dataclass
class Receiver:
    """Takes messages, or fails as long as it is told to."""

    messages: list[Message] = field(default_factory=list)
    error: Exception | None = None

    def __call__(self, claimed: Claimed) -> None:
        if self.error is not None:
            raise self.error
        self.messages.append(message_of(claimed))


@pytest.fixture
def connector(database_url: str) -> Connect:
    return partial(connect, database_url, API, autocommit=True)


@pytest.fixture
def chain_id(connector: Connect) -> UUID:
    with connector() as connection:
        return chain_id_of(connection, "main")


def rows_of(connector: Connect, columns: str) -> list[tuple[Any, ...]]:
    with connector() as connection:
        return connection.execute(f"select {columns} from precedent.outbox order by id").fetchall()  # type: ignore[arg-type]


def test_each_message_goes_out_once_and_names_no_facts(database_url: str, connector: Connect, chain_id: UUID) -> None:
    escalated, approved = decision(1, verdict="escalate", text="8 % off at 31 % margin"), decision(2, text="12,000 USD")
    append_all(database_url, [escalated, approved])
    receiver, clock = Receiver(), EvenClock()
    assert drain(connector, chain_id, receiver, clock) == Drained(delivered=2)
    assert drain(connector, chain_id, receiver, clock) == Drained()
    assert [(message.topic, message.recipient, message.text) for message in receiver.messages] == [
        (
            "review.opened",
            "deal-desk",
            f"deal-desk: finance/approve_discount needs an answer. Decision {escalated.entry_id} waits for a person.",
        ),
        (
            "decision.notify",
            "sales",
            f"sales: finance/approve_discount was decided and took effect. Decision {approved.entry_id} can be looked at.",
        ),
    ]
    assert len({message.idempotency_key for message in receiver.messages}) == 2
    assert all(row[0] is not None for row in rows_of(connector, "delivered_at"))


def test_a_failed_message_waits_longer_each_time_and_keeps_its_key(database_url: str, connector: Connect, chain_id: UUID) -> None:
    append_all(database_url, [decision(1)])
    receiver, clock = Receiver(error=ConnectionError("planted")), EvenClock()
    pauses = []
    for attempt in range(1, 6):
        assert drain(connector, chain_id, receiver, clock) == Drained(failed=1)
        assert drain(connector, chain_id, receiver, clock) == Drained(), "it is not due yet"
        [(attempts, next_at, error)] = rows_of(connector, "attempts, next_attempt_at, last_error")
        assert (attempts, error) == (attempt, "ConnectionError: planted")
        pauses.append(round(next_at.timestamp() - clock.now_us() / 1e6, -1))
        clock.forward(pauses[-1] + 10)
    assert pauses == [30, 60, 120, 240, 480]
    receiver.error = None
    assert drain(connector, chain_id, receiver, clock) == Drained(delivered=1)
    assert rows_of(connector, "attempts, last_error") == [(6, None)]


def test_messages_that_failed_together_come_back_apart(database_url: str, connector: Connect, chain_id: UUID) -> None:
    append_all(database_url, [decision(1), decision(2)])
    receiver, clock = Receiver(error=ConnectionError("planted")), EvenClock()
    for clock.random in (0, 255):
        assert drain(connector, chain_id, receiver, clock, limit=1) == Drained(failed=1)
    [first, second] = [next_at.timestamp() for (next_at,) in rows_of(connector, "next_attempt_at")]
    assert 14 < second - first < 16, "half of the first pause, which is 30 s"


def test_who_asks_for_a_longer_pause_gets_it_and_who_asks_for_a_shorter_one_does_not(
    database_url: str, connector: Connect, chain_id: UUID
) -> None:
    append_all(database_url, [decision(1), decision(2), decision(3)])
    receiver, clock = Receiver(), EvenClock()
    for asked_seconds in (300.0, 1.0, 1e9):
        receiver.error = AdapterUnavailable("planted", "busy", asked_seconds)
        assert drain(connector, chain_id, receiver, clock, limit=1) == Drained(failed=1)
    pauses = [next_at.timestamp() - clock.now_us() / 1e6 for (next_at,) in rows_of(connector, "next_attempt_at")]
    assert [round(pause, -1) for pause in pauses] == [300, 30, 3600]


def test_what_is_dead_is_delivered_after_all_once_it_is_replayed(database_url: str, connector: Connect, chain_id: UUID) -> None:
    append_all(database_url, [decision(1), decision(2)])
    receiver, clock = Receiver(error=ValueError("no such channel")), EvenClock()
    for _ in range(MAX_ATTEMPTS):
        drain(connector, chain_id, receiver, clock)
        clock.forward(3700)
    receiver.error = None
    [first, second] = [number for (number,) in rows_of(connector, "id")]
    with connector() as connection:
        assert replay_dead(connection, chain_id, now_of(clock), [first, 999]) == [first]
        assert replay_dead(connection, chain_id, now_of(clock), [first]) == [], "it is not dead any more"
    assert drain(connector, chain_id, receiver, clock) == Drained(delivered=1)
    with connector() as connection:
        assert replay_dead(connection, chain_id, now_of(clock), None) == [second]
    assert drain(connector, chain_id, receiver, clock) == Drained(delivered=1)
    assert [message.idempotency_key for message in receiver.messages] == [f"outbox-{first}", f"outbox-{second}"]
    assert rows_of(connector, "last_error, dead_at") == [(None, None)] * 2


def test_the_tenth_failure_is_the_last_and_is_shown(database_url: str, connector: Connect, chain_id: UUID) -> None:
    append_all(database_url, [decision(1)])
    receiver, clock = Receiver(error=ValueError("no such channel")), EvenClock()
    results = []
    for _ in range(MAX_ATTEMPTS + 2):
        results.append(drain(connector, chain_id, receiver, clock))
        clock.forward(3700)
    assert results == [Drained(failed=1)] * 9 + [Drained(dead=1)] + [Drained()] * 2
    with connector() as connection:
        [dead] = read_undelivered(connection, chain_id, is_dead=True, limit=10)
        assert read_undelivered(connection, chain_id, is_dead=False, limit=10) == []
        assert count_messages(connection, chain_id).dead == 1
    assert (dead.attempts, dead.last_error) == (10, "ValueError: no such channel")


def test_one_bad_message_does_not_stop_those_behind_it(database_url: str, connector: Connect, chain_id: UUID) -> None:
    append_all(database_url, [decision(1), decision(2)])
    with psycopg.connect(database_url) as owner:
        owner.execute("update precedent.outbox set topic = 'unheard.of' where id = (select min(id) from precedent.outbox)")
    receiver = Receiver()
    assert drain(connector, chain_id, receiver, EvenClock()) == Drained(delivered=1, failed=1)
    assert rows_of(connector, "last_error")[0] == ("KeyError: 'unheard.of'",)


def test_a_crash_between_delivery_and_its_mark_delivers_again_under_the_same_key(
    database_url: str, connector: Connect, chain_id: UUID
) -> None:
    append_all(database_url, [decision(1)])
    receiver, clock = Receiver(), EvenClock()

    def deliver_and_die(message: Claimed) -> None:
        receiver(message)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drain(connector, chain_id, deliver_and_die, clock)
    clock.forward(60)
    assert drain(connector, chain_id, receiver, clock) == Drained(delivered=1)
    first, second = receiver.messages
    assert first == second


def test_an_error_that_quotes_an_address_is_stored_without_it(database_url: str, connector: Connect, chain_id: UUID) -> None:
    append_all(database_url, [decision(1)])
    drain(connector, chain_id, Receiver(error=ValueError("ada@example.org bounced")), EvenClock())
    assert rows_of(connector, "last_error") == [("ValueError: [e-mail] bounced",)]


def test_processes_that_drain_at_once_share_the_work(database_url: str, connector: Connect, chain_id: UUID) -> None:
    append_all(database_url, [decision(number) for number in range(40)])
    receiver, clock = Receiver(), EvenClock()
    results: list[Drained] = []
    threads = [threading.Thread(target=lambda: results.append(drain(connector, chain_id, receiver, clock))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(result.delivered for result in results) == 40
    assert len({message.idempotency_key for message in receiver.messages}) == len(receiver.messages) == 40


def test_a_message_that_another_process_is_claiming_is_passed_over(database_url: str, connector: Connect, chain_id: UUID) -> None:
    append_all(database_url, [decision(1), decision(2)])
    receiver = Receiver()
    with psycopg.connect(database_url) as other:
        other.execute("select id from precedent.outbox order by id limit 1 for update")
        assert drain(connector, chain_id, receiver, EvenClock()) == Drained(delivered=1)
    assert drain(connector, chain_id, receiver, EvenClock()) == Drained(delivered=1)


def test_another_chains_messages_are_left_alone(database_url: str, connector: Connect) -> None:
    append_all(database_url, [decision(1)])
    assert drain(connector, uuid.uuid4(), Receiver(), EvenClock()) == Drained()


def test_no_more_than_the_limit_is_delivered(database_url: str, connector: Connect, chain_id: UUID) -> None:
    append_all(database_url, [decision(number) for number in range(5)])
    assert drain(connector, chain_id, Receiver(), EvenClock(), limit=2) == Drained(delivered=2)


@pytest.mark.parametrize("topic", sorted(TEXTS))
def test_every_topic_has_a_text_even_for_nobody_in_particular(topic: str) -> None:
    payload = {"node": "finance", "action": "approve_discount", "decision_id": "d-1", "to": None, "amount": 12000}
    payload |= {
        "run_id": "r-1",
        "job": "aggregator",
        "days": "2026-11-25",
        "why": "not held: chain_is_unbroken",
        "page": "http://h/runs/r-1",
    }
    message = message_of(Claimed(7, uuid.UUID(int=1), topic, payload, 1))
    about, subject = ("the job aggregator", "r-1") if topic.startswith("pipeline.") else ("finance/approve_discount", "d-1")
    assert message.text.startswith(f"whoever is on duty: {about}")
    assert subject in message.text
    assert message.subject_id == subject
    assert "12000" not in message.text
    assert message.idempotency_key == "outbox-7"


def test_what_is_personal_in_a_message_is_redacted_and_the_page_it_names_is_not() -> None:
    page = "http://10.0.0.5:3000/runs/r-1"
    payload = {"run_id": "r-1", "job": "aggregator", "days": "2026-11-25", "why": "no row of jane@example.com", "page": page}
    text = message_of(Claimed(7, None, "pipeline.run_failed", payload, 1)).text
    assert "no row of [e-mail]" in text
    assert page in text


@pytest.mark.parametrize(("recipient", "channel"), [("SALES_LEAD", "#sales-lead"), ("CFO", "#cfo"), (None, "#precedent")])
def test_a_recipient_has_a_channel(recipient: str | None, channel: str) -> None:
    assert channel_of(recipient) == channel
