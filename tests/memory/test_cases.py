"""Each different case once: kept by the rows of decisions, whatever order they come and go in; and what is found by way of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from pgvector import Vector
from pgvector.psycopg import register_vector

from precedent.db import migrate
from precedent.db.engine import PIPELINE, connect
from precedent.ledger.store import chain_id_of
from precedent.memory.embed import TYPED_V1, TypedEncoder
from precedent.memory.recall_store import Found, search

DAWN = datetime(2026, 3, 1, tzinfo=UTC)
SCOPES = ("finance/approve_discount", "credit/accept_application")
VERDICTS = ("approve", "deny", "escalate")
ENCODER = TypedEncoder()
ADD = """
insert into precedent.decision_embeddings_384 (
    chain_id, model_id, decision_id, scope, seq, verdict, by_person, qualified_at, input_digest, context_vec
)
select %s, %s, d.id, d.scope, d.seq, d.verdict, false, d.at, '', d.vector::vector(384)
from unnest(%s::uuid[], %s::text[], %s::int8[], %s::text[], %s::timestamptz[], %s::text[]) d (id, scope, seq, verdict, at, vector)
"""
REMOVE = "delete from precedent.decision_embeddings_384 where decision_id = any (%s)"
HELD = "select scope, vector_digest, approve_at, deny_at, escalate_at from precedent.case_vectors_384 order by 1, 2"
COUNTED = """
select scope, sha256(vector_send(context_vec)), min(qualified_at) filter (where verdict = 'approve'),
       min(qualified_at) filter (where verdict = 'deny'), min(qualified_at) filter (where verdict = 'escalate')
from precedent.decision_embeddings_384 group by 1, 2 order by 1, 2
"""
LEFT = "select count(*) from precedent.case_vectors_384 c where vector_digest <> sha256(vector_send(context_vec))"


def decision(number: int, kinds: int = 12, scope: str | None = None) -> dict[str, Any]:
    """One of few kinds, so that many are equal; as late as chance has it."""
    draw = random.Random(number)
    at = DAWN + timedelta(hours=draw.randint(0, 400))
    kind = draw.randint(1, kinds)
    return {
        "id": UUID(int=1 + number),
        "scope": scope or draw.choice(SCOPES),
        "seq": number,
        "verdict": draw.choices(VERDICTS, (6, 3, 1))[0],
        "at": at,
        "vector": Vector(ENCODER.encode({"deal_value": 100 * kind**2, "tier": "ABC"[kind % 3]})).to_text(),
    }


def add(connection: psycopg.Connection, *decisions: dict[str, Any]) -> None:
    columns = ([one[name] for one in decisions] for name in ("id", "scope", "seq", "verdict", "at", "vector"))
    connection.execute(ADD.encode(), (chain_id_of(connection, "main"), TYPED_V1, *columns))


def remove(connection: psycopg.Connection, *decisions: dict[str, Any]) -> None:
    connection.execute(REMOVE, ([one["id"] for one in decisions],))


def require_kept(connection: psycopg.Connection) -> int:
    held, counted = (connection.execute(query.encode()).fetchall() for query in (HELD, COUNTED))
    assert held == counted
    assert connection.execute(LEFT).fetchone() == (0,)
    return len(held)


def test_cases_are_what_the_decisions_that_are_there_make_them(database_url: str) -> None:
    draw = random.Random(4)
    coming = [decision(number) for number in range(240)]
    there: list[dict[str, Any]] = []
    with connect(database_url) as connection:
        while coming:
            many = draw.choice((1, 3, 20))
            added, coming = coming[:many], coming[many:]
            add(connection, *added)
            there += added
            if draw.random() < 0.6:
                gone = draw.sample(there, min(len(there), draw.choice((1, 5, 15))))
                remove(connection, *gone)
                there = [one for one in there if one not in gone]
            require_kept(connection)
        assert require_kept(connection) > 15
        remove(connection, *there)
        assert require_kept(connection) == 0


def test_what_stood_there_before_is_filled_in(database_url: str) -> None:
    with connect(database_url) as connection:
        add(connection, *(decision(number) for number in range(60)))
        connection.commit()
    migrate.downgrade(database_url, "0023")
    migrate.upgrade(database_url)
    with connect(database_url) as connection:
        assert require_kept(connection) > 15
        add(connection, *(decision(number) for number in range(60, 120)))
        assert require_kept(connection) > 15


@pytest.mark.parametrize("first", ["add", "remove"])
def test_the_last_decision_of_a_case_goes_while_another_comes(database_url: str, first: str) -> None:
    """Whichever is first, the other waits for it, and the case is that of the one that came."""
    old, new = decision(1), decision(2) | {"scope": decision(1)["scope"], "vector": decision(1)["vector"]}
    with connect(database_url) as adder, connect(database_url) as remover, ThreadPoolExecutor(1) as pool:
        add(adder, old)
        adder.commit()
        steps = [(adder, add, new), (remover, remove, old)]
        (connection, step, one), (later, other_step, other) = steps if first == "add" else steps[::-1]
        step(connection, one)
        waiting: Future[None] = pool.submit(other_step, later, other)
        wait_for_a_lock(database_url, waiting)
        connection.commit()
        waiting.result()
        later.commit()
        assert require_kept(adder) == 1


def wait_for_a_lock(url: str, waiting: Future[None]) -> None:
    with connect(url, autocommit=True) as watcher:
        query = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        while watcher.execute(query).fetchone() == (0,):
            assert not waiting.done(), "it did not wait"


def test_two_who_add_the_same_cases_in_another_order_do_not_wait_for_each_other(database_url: str) -> None:
    decisions = [decision(number, scope=SCOPES[0]) for number in range(400)]

    def add_all(part: Sequence[dict[str, Any]]) -> None:
        with connect(database_url) as connection:
            for start in range(0, len(part), 40):
                add(connection, *part[start : start + 40])
                connection.commit()

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(add_all, decisions[::2]), pool.submit(add_all, decisions[1::2][::-1])]:
            done.result()
    with connect(database_url) as connection:
        assert require_kept(connection) == 12


@pytest.fixture(scope="module")
def many(module_database_url: str) -> tuple[str, list[dict[str, Any]]]:
    """500 decisions on 12 different cases of one action."""
    decisions = [decision(number, scope=SCOPES[0]) for number in range(500)]
    with connect(module_database_url) as connection:
        add(connection, *decisions)
        connection.commit()
        register_vector(connection)
        connection.execute(
            "create index case_vectors_384_hnsw_planted on precedent.case_vectors_384 using hnsw (context_vec vector_cosine_ops)"
        )
        connection.commit()
    return module_database_url, decisions


@pytest.mark.parametrize("ef_search", [None, 40])
def test_among_equal_cases_the_newest_of_the_nearest_are_found_and_the_nearest_with_another_verdict(
    many: tuple[str, list[dict[str, Any]]], ef_search: int | None
) -> None:
    url, decisions = many
    draw = random.Random(6)
    places = {one["vector"]: Vector.from_text(one["vector"]).to_list() for one in decisions}
    asked = [
        (ENCODER.encode({"deal_value": draw.randint(50, 20_000), "tier": draw.choice("ABC")}), draw.randint(0, 420)) for _ in range(40)
    ]
    with connect(url, PIPELINE) as connection:
        if ef_search:
            connection.execute("set enable_seqscan = off")
        chain_id = chain_id_of(connection, "main")
        moments = [(point, int((DAWN + timedelta(hours=hour)).timestamp()) * 1_000_000) for point, hour in asked]
        found = search(connection, chain_id, TYPED_V1, SCOPES[0], moments, ef_search=ef_search)
    for (point, hour), one in zip(asked, found, strict=True):
        known = [held for held in decisions if held["at"] <= DAWN + timedelta(hours=hour)]
        far = {text: round(1e6 * (1 - sum(a * b for a, b in zip(point, place, strict=True)))) for text, place in places.items()}
        wanted = sorted(known, key=lambda held: (far[held["vector"]], -held["seq"]))
        require_same(one.nearest, wanted[:10], far)
        other = [held for held in wanted if held["verdict"] != wanted[0]["verdict"]][:1] if wanted else []
        require_same((one.other,) if one.other else (), other, far)


def require_same(found: Sequence[Found], wanted: Sequence[dict[str, Any]], far: dict[str, int]) -> None:
    assert [one.decision_id for one in found] == [one["id"] for one in wanted]
    assert all(abs(one.distance_ppm - far[held["vector"]]) <= 2 for one, held in zip(found, wanted, strict=True))
