from __future__ import annotations

import asyncio
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sample_entries import append_all, audited, decision, escalation, reversible, review_step

from precedent.db.engine import API, connect
from precedent.db.reads import Reads
from precedent.errors import FieldInvalid
from precedent.ledger.store import chain_id_of
from precedent.people.review_store import QUEUE
from precedent.people.reviews import Filters, ReviewPage, is_drawn, page_of, queue_parameters, review_rates

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with connect(database_url, API, autocommit=True) as opened:
        yield opened


@pytest.fixture
def chain_id(connection: psycopg.Connection[Any]) -> UUID:
    return chain_id_of(connection, "main")


def listed(
    connection: psycopg.Connection[Any],
    chain_id: UUID,
    status: str = "open",
    limit: int = 50,
    after: str | None = None,
    nodes: tuple[str, ...] = ("*",),
    kind: str | None = None,
    now: datetime = NOON,
) -> ReviewPage:
    now_us = int(now.timestamp() * 1_000_000)
    parameters = queue_parameters(chain_id, Filters(nodes, status, kind), now_us, limit, after)
    return page_of(connection.execute(QUEUE.encode(), parameters).fetchall(), now_us, limit)


def plant(
    database_url: str, chain_id: UUID, due_hours: list[int | None], status: str = "open", kind: str = "escalation", first: int = 1
) -> list[UUID]:
    """Rows with deadlines so many hours after noon; ids in the order given."""
    ids = [uuid.UUID(int=place + first) for place in range(len(due_hours))]
    with psycopg.connect(database_url) as owner:
        for decision_id, hours in zip(ids, due_hours, strict=True):
            due_at = None if hours is None else NOON + timedelta(hours=hours)
            owner.execute(
                "insert into precedent.reviews (chain_id, decision_id, node, action, status, due_at, opened_at, kind)"
                " values (%s, %s, 'finance', 'approve_discount', %s, %s, %s, %s)",
                (chain_id, decision_id, status, due_at, NOON, kind),
            )
    return ids


def cursor(due: str) -> str:
    return urlsafe_b64encode(f"{due} {uuid.UUID(int=1)}".encode()).decode().rstrip("=")


def test_an_escalated_decision_stands_in_the_queue(database_url: str, connection: psycopg.Connection[Any], chain_id: UUID) -> None:
    escalated, approved = decision(1, verdict="escalate"), decision(2)
    append_all(database_url, [escalated, approved])
    [review] = listed(connection, chain_id).reviews
    assert review["decision_id"] == escalated.entry_id
    named = {name: review[name] for name in ("kind", "node", "action", "status", "assigned_to", "reviewer")}
    assert named == {
        "kind": "escalation", "node": "finance", "action": "approve_discount",
        "status": "open", "assigned_to": "deal-desk", "reviewer": None,
    }  # fmt: skip
    assert review["due_at"] == review["opened_at"] + timedelta(hours=1)
    with psycopg.connect(database_url) as owner:
        (leaf,) = owner.execute("select encode(leaf, 'hex') from ledger.entry where entry_id = %s", (escalated.entry_id,)).fetchone() or ()
    assert (review["digest"], review["verdict"], review["asked_by"]) == (leaf, "escalate", "test")


def test_what_is_due_first_comes_first_and_what_has_no_deadline_last(
    database_url: str, connection: psycopg.Connection[Any], chain_id: UUID
) -> None:
    ids = plant(database_url, chain_id, [5, None, 1, 1, -3])
    page = listed(connection, chain_id)
    assert [review["decision_id"] for review in page.reviews] == [ids[4], ids[2], ids[3], ids[0], ids[1]]
    assert page.next is None


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_pages_give_every_row_once_and_in_order(database_url: str, connection: psycopg.Connection[Any], chain_id: UUID, limit: int) -> None:
    plant(database_url, chain_id, [3, None, 1, 1, None, 2, 1])
    whole = listed(connection, chain_id).reviews
    found, after = [], None
    while True:
        page = listed(connection, chain_id, "open", limit, after)
        found += page.reviews
        if page.next is None:
            break
        after = page.next
    assert tuple(found) == whole
    assert len(found) == 7


def test_only_the_status_asked_for_is_listed(database_url: str, connection: psycopg.Connection[Any], chain_id: UUID) -> None:
    plant(database_url, chain_id, [1], status="approved")
    assert listed(connection, chain_id).reviews == ()
    assert len(listed(connection, chain_id, "approved").reviews) == 1


def test_only_the_nodes_asked_for_are_listed(database_url: str, connection: psycopg.Connection[Any], chain_id: UUID) -> None:
    plant(database_url, chain_id, [1, 2])
    for nodes, count in ((("finance",), 2), (("credit", "finance"), 2), (("credit",), 0), ((), 0), (("credit", "*"), 2)):
        assert len(listed(connection, chain_id, nodes=nodes).reviews) == count


def test_what_can_be_reversed_no_more_is_not_open_and_hides_nothing_behind_it(
    database_url: str, connection: psycopg.Connection[Any], chain_id: UUID
) -> None:
    lapsed, living = (
        plant(database_url, chain_id, [-2, 0], kind="reversible"),
        plant(database_url, chain_id, [3, 1], "open", "reversible", 11),
    )
    escalated, audited = plant(database_url, chain_id, [2], first=21), plant(database_url, chain_id, [None], "open", "audit", 31)
    wanted = [living[1], *escalated, living[0], *audited]
    assert [review["decision_id"] for review in listed(connection, chain_id).reviews] == wanted
    first = listed(connection, chain_id, limit=1)
    assert [review["decision_id"] for review in listed(connection, chain_id, after=first.next).reviews] == wanted[1:]
    assert [review["decision_id"] for review in listed(connection, chain_id, kind="reversible").reviews] == living[::-1]
    before = [review["decision_id"] for review in listed(connection, chain_id, now=NOON - timedelta(hours=1)).reviews]
    assert before == [lapsed[1], *wanted], "an hour earlier one more could be reversed"


def test_overdue_is_an_escalation_whose_time_is_over(database_url: str, connection: psycopg.Connection[Any], chain_id: UUID) -> None:
    late, _ = plant(database_url, chain_id, [-1, 1])
    plant(database_url, chain_id, [-1], "open", "reversible", 11)
    [review] = listed(connection, chain_id, "overdue").reviews
    assert (review["decision_id"], review["is_overdue"]) == (late, True)
    assert [review["is_overdue"] for review in listed(connection, chain_id).reviews] == [True, False]
    assert listed(connection, chain_id, "overdue", kind="reversible").reviews == (), "a window that closed is late for nobody"


@pytest.mark.parametrize("audit_ppm", [0, 1, 100_000, 500_000, 1_000_000])
def test_the_draw_is_the_same_in_python_and_in_the_database(database_url: str, audit_ppm: int) -> None:
    leaves = [sha256(bytes([number])).digest() for number in range(256)]
    with psycopg.connect(database_url) as owner:
        rows = owner.execute("select precedent.audit_draw(leaf) < %s from unnest(%s::bytea[]) leaf", (audit_ppm, leaves)).fetchall()
    assert [row[0] for row in rows] == [is_drawn(leaf, audit_ppm) for leaf in leaves]


def test_the_draw_picks_the_share_that_the_policy_asks_for() -> None:
    """10,000 draws at 10 %: the count is binomial, with a deviation of 30; six of them are missed once in 500 million."""
    picked = sum(is_drawn(sha256(number.to_bytes(4, "big")).digest(), 100_000) for number in range(10_000))
    assert abs(picked - 1000) < 180


def test_another_chains_queue_is_not_seen(database_url: str, connection: psycopg.Connection[Any], chain_id: UUID) -> None:
    plant(database_url, uuid.uuid4(), [1])
    assert listed(connection, chain_id).reviews == ()


@pytest.mark.parametrize(
    ("status", "limit", "after", "pointer"),
    [
        ("lost", 10, None, "/status"),
        ("open", 0, None, "/limit"),
        ("open", 101, None, "/limit"),
        ("open", 10, "?", "/after"),
        ("open", 10, "aGVsbG8", "/after"),
        ("open", 10, "ünï", "/after"),
        ("open", 10, "MjAyNi0xMS0yMiBub3QtYS11dWlk", "/after"),
        ("open", 10, cursor("2026-W01-1T00:00:00Z"), "/after"),
        ("open", 10, cursor("2026-11-22T12:00:00.1234567Z"), "/after"),
        ("open", 10, cursor("2026-11-22T12:00:00"), "/after"),
        ("open", 10, cursor("0001-01-01T00:00:00+23:59"), "/after"),
        ("open", 10, cursor("9999-12-31T23:59:59-23:59"), "/after"),
    ],
)
def test_a_bad_question_is_refused_with_its_place(status: str, limit: int, after: str | None, pointer: str) -> None:
    with pytest.raises(FieldInvalid) as caught:
        queue_parameters(uuid.uuid4(), Filters(["*"], status), 0, limit, after)
    assert [fault.pointer for fault in caught.value.faults] == [pointer]


def test_rates_tell_what_waits_and_how_the_answered_ones_went(database_url: str, chain_id: UUID) -> None:
    """Of four recommendations one was overridden; of two audits one was reversed; a closed window waits for nobody."""
    advice = {"recommendation": {"verdict": "approve", "level": 2, "rule": "broad"}}
    advised = [escalation(number, **advice) for number in range(4)]
    unadvised, late, waiting = escalation(4), escalation(5, within_seconds=0), escalation(6, within_seconds=None)
    lapsed, living, undone = reversible(7, seconds=0), reversible(8), reversible(9)
    kept, dropped = audited(10), audited(11)
    append_all(database_url, [*advised, unadvised, late, waiting, lapsed, living, undone, kept, dropped])
    answers = [
        *((one, "escalation", "approve") for one in advised[:3]),
        (advised[3], "escalation", "deny"),
        (unadvised, "escalation", "deny"),
    ]
    answers += [(undone, "reversible", "reverse"), (kept, "audit", "confirm"), (dropped, "audit", "reverse")]
    append_all(database_url, [review_step("answer", *one) for one in answers])

    async def read(ahead: timedelta = timedelta()) -> dict[str, dict[str, Any]]:
        reads = Reads(database_url, 1)
        await reads.open()
        try:
            now_us = int((datetime.now(UTC) + ahead).timestamp() * 1_000_000)
            return {row["kind"]: row for row in await review_rates(reads, chain_id, now_us)}
        finally:
            await reads.close()

    rates = asyncio.run(read())
    columns = ("waiting", "overdue", "answered", "timed_out", "advised", "overridden", "override_rate", "reversed", "reversal_rate")
    assert {kind: tuple(row[name] for name in columns) for kind, row in rates.items()} == {
        "escalation": (2, 1, 5, 0, 4, 1, 0.25, 0, None),
        "reversible": (1, 0, 1, 0, 0, 0, None, 1, None),
        "audit": (0, 0, 2, 0, 0, 0, None, 1, 0.5),
    }
    later = asyncio.run(read(timedelta(days=31)))
    assert {kind: row["waiting"] for kind, row in later.items()} == {"escalation": 2}, "what was closed is out of the window"
    assert later["escalation"]["oldest_seconds"] == pytest.approx(31 * 86400, abs=600)
